"""Tokens to image files: in their own sizes, once, and inside their folder."""

import itertools

import numpy as np
import PIL.Image
import pytest

from geovq.corpus import decoding
from geovq.corpus.decoding import decode_corpus, png_path
from geovq.corpus.encoding import encode_corpus
from geovq.corpus.sources import open_images
from geovq.corpus.token_folder import open_tokens
from geovq.validation import InputError
from tests.corpus.sources import write_folder

pytest.importorskip("grain")


@pytest.fixture
def tokens(tokenizer, tmp_path, rng):
    """Of three images, two of which differ in their ending."""
    images = {"a/0.png": (8, 8, 3), "a/1.jpg": (6, 9, 3), "a/1.png": (6, 9, 3)}
    write_folder(
        tmp_path / "images", {name: rng.integers(0, 256, shape, dtype=np.uint8) for name, shape in images.items()}
    )
    encode_corpus(tokenizer, "sha", open_images(tmp_path / "images"), tmp_path / "tokens", pad=True)
    return open_tokens(tmp_path / "tokens")


def test_every_image_gets_a_file_in_its_own_size(tokenizer, tokens, tmp_path):
    assert decode_corpus(tokenizer, tokens, tmp_path / "out") == 3
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"a/0.png", "a/1.jpg.png", "a/1.png"}
    for image in tokens:
        wanted = tokenizer.decode(image.tokens[None].astype(np.int32), image_shape=image.size)[0]
        found = np.asarray(PIL.Image.open(png_path(tmp_path / "out", image.name)))
        np.testing.assert_array_equal(found, np.round(255 * wanted).astype(np.uint8))


def test_a_stopped_call_goes_on(tokenizer, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_PIXELS", 1)
    decoded = []
    decode = tokenizer.decode

    def count(grids, **options):
        nonlocal decoded
        decoded += [len(grids)] * isinstance(grids, list)  # a list is decoded as arrays, by this method
        return decode(grids, **options)

    monkeypatch.setattr(tokenizer, "decode", count)
    asked = itertools.count(1)
    assert decode_corpus(tokenizer, tokens, tmp_path / "out", stop=lambda: next(asked) == 2) == 2
    assert decode_corpus(tokenizer, tokens, tmp_path / "out") == 3
    assert decoded == [1, 1, 1]


def test_images_of_other_tokens_are_not_mixed(tokenizer, tokens, tmp_path):
    decode_corpus(tokenizer, tokens, tmp_path / "out")
    tokens.header = tokens.header._replace(images="others")
    with pytest.raises(InputError, match="begun with the same images, found another"):
        decode_corpus(tokenizer, tokens, tmp_path / "out")
    with pytest.raises(InputError, match=r"an empty one, found a in it"):
        decode_corpus(tokenizer, tokens, tmp_path / "images")


@pytest.mark.parametrize("name", ["../0.png", "/0.png", "a/../../0.png", ".", ""])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="expected names inside a folder"):
        png_path(tmp_path, name)
