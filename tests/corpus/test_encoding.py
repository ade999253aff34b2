"""A corpus to tokens: all images once, whatever is broken, and the same bytes after any number of stops."""

import itertools

import numpy as np
import pytest

from geovq.assignment.base import Codebook
from geovq.assignment.nearest import Nearest
from geovq.corpus import encoding
from geovq.corpus.encoding import Share, encode_corpus
from geovq.corpus.sources import open_images
from geovq.corpus.token_shards import open_tokens
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

image = pytest.importorskip("PIL.Image")
pytest.importorskip("grain")


@pytest.fixture(scope="module")
def tokenizer():
    """Latents are means of 4x4 pixels; eight codes."""
    import jax.numpy as jnp

    def encode(images):
        n, height, width, channels = images.shape
        return images.reshape(n, height // 4, 4, width // 4, 4, channels).mean(axis=(2, 4))

    def decode(latents):
        return jnp.repeat(jnp.repeat(latents, 4, axis=1), 4, axis=2)

    codes = np.random.default_rng(0).random((1, 8, 3), np.float32)
    codebook = Codebook(codes, np.eye(3, dtype=np.float32)[None, None])
    return Tokenizer(encode, decode, codebook, assigner=Nearest(), image_shape=(8, 8, 3))


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """Nine images of three sizes, one of them broken, in shards of four."""
    monkeypatch.setattr("geovq.corpus.sources.FILES_OF_SHARD", 4)
    (tmp_path / "images").mkdir()
    for i, shape in zip(range(9), itertools.cycle([(8, 8, 3), (8, 12, 3), (6, 9, 3)]), strict=False):
        image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"images/{i}.png")
    broken = tmp_path / "images/4.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return tmp_path / "images"


def test_every_image_is_encoded_once(tokenizer, folder, tmp_path):
    done = []
    found = encode_corpus(
        tokenizer, "sha", open_images(folder), tmp_path / "out", pad=True, progress=lambda *counts: done.append(counts)
    )
    assert found == (8, 1, True)
    assert np.sum(done, axis=0).tolist() == [8, 1]
    tokens = open_tokens(tmp_path / "out")
    assert [each.name for each in tokens] == [f"{i}.png" for i in range(9) if i != 4]
    assert [each.name for each in tokens.unreadable] == ["4.png"]
    for each in tokens:
        pixels = np.asarray(image.open(folder / each.name))
        np.testing.assert_array_equal(each.tokens, tokenizer.encode(pixels[None], pad=True)[0])


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stopped_call_goes_on_and_ends_with_the_same_bytes(tokenizer, folder, tmp_path, after, monkeypatch):
    monkeypatch.setattr(encoding, "_NUMBERS", 1)  # every image is a group
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "whole", pad=True)
    calls = 0
    while True:
        asked = itertools.count(1)
        found = encode_corpus(
            tokenizer, "sha", shards, tmp_path / "stopped", pad=True, stop=lambda asked=asked: next(asked) > 2 * after
        )
        calls += 1
        if found.complete:
            break
        with pytest.raises(InputError, match="expected all of its 3 shards"):
            open_tokens(tmp_path / "stopped")
    assert calls > 1
    whole, stopped = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "stopped")
    )
    assert whole == stopped


def test_shares_are_encoded_by_several_processes(tokenizer, folder, tmp_path):
    shards = open_images(folder)
    ends = [
        encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True, share=Share(i, 2)).complete for i in (1, 0)
    ]
    assert ends == [False, True]
    assert len(open_tokens(tmp_path / "out")) == 8


def test_sizes_that_the_stride_does_not_divide_are_refused_by_name(tokenizer, folder, tmp_path):
    with pytest.raises(InputError, match=r"2\.png: images: expected"):
        encode_corpus(tokenizer, "sha", open_images(folder), tmp_path / "out")


def test_a_damaged_part_is_encoded_anew(tokenizer, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_NUMBERS", 1)
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True, stop=lambda: True)
    (part,) = (tmp_path / "out").glob(".*.part.npz")
    part.write_bytes(part.read_bytes()[:50])
    assert encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True).complete
    assert not list((tmp_path / "out").glob(".*"))
