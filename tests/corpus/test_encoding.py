"""A corpus to tokens: all images once, whatever is broken, and the same bytes after any number of stops and kills."""

import functools
import itertools
import random

import numpy as np
import PIL.Image
import pytest

from geovq.corpus import encoding
from geovq.corpus.encoding import count_images, encode_corpus
from geovq.corpus.sources import open_images
from geovq.corpus.token_folder import open_tokens
from geovq.validation import InputError
from tests.corpus.sources import write_folder

pytest.importorskip("grain")


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """Nine images of three sizes, one of them broken, in shards of four."""
    monkeypatch.setattr("geovq.corpus.sources.FILES_OF_SHARD", 4)
    shapes = itertools.cycle([(8, 8, 3), (8, 12, 3), (6, 9, 3)])
    images = {
        f"{i}.png": rng.integers(0, 256, shape, dtype=np.uint8) for i, shape in zip(range(9), shapes, strict=False)
    }
    write_folder(tmp_path / "images", images)
    broken = tmp_path / "images/4.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return tmp_path / "images"


def contents(folder):
    """All files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_image_is_encoded_once(tokenizer, folder, tmp_path):
    done = []
    shards = open_images(folder)
    assert count_images(shards, tmp_path / "out") == (0, 9)
    found = encode_corpus(
        tokenizer, "sha", shards, tmp_path / "out", pad=True, progress=lambda *counts: done.append(counts)
    )
    assert found == (8, 1, True)
    assert np.sum(done, axis=0).tolist() == [8, 1]
    assert count_images(shards, tmp_path / "out") == (9, 9)
    tokens = open_tokens(tmp_path / "out")
    assert [each.name for each in tokens] == [f"{i}.png" for i in range(9) if i != 4]
    assert [each.name for each in tokens.left_out()] == ["4.png"]
    for each in tokens:
        pixels = np.asarray(PIL.Image.open(folder / each.name))
        np.testing.assert_array_equal(each.tokens, tokenizer.encode(pixels[None], pad=True)[0])
        assert each.size == pixels.shape[:2]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stopped_call_goes_on_and_ends_with_the_same_bytes(tokenizer, folder, tmp_path, after, monkeypatch):
    monkeypatch.setattr(encoding, "_PIXELS", 60)  # one or two images are a chunk
    shards, encode = open_images(folder), encoding._encode_chunk
    together: list[list[str]] = []

    def note(work, chunk):
        together.append([record.name for record in chunk])
        return encode(work, chunk)

    monkeypatch.setattr(encoding, "_encode_chunk", note)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "whole", pad=True)
    of_whole, together = together, []
    seen = set()
    while True:
        asked = itertools.count(1)
        stop = functools.partial(lambda asked: next(asked) == after, asked)
        found = encode_corpus(tokenizer, "sha", shards, tmp_path / "stopped", pad=True, stop=stop)
        if found.complete:
            break
        done, total = count_images(shards, tmp_path / "stopped")
        assert done not in seen
        seen.add(done)
        assert total == 9
        with pytest.raises(InputError, match="expected all of its 3 shards"):
            open_tokens(tmp_path / "stopped")
    assert seen
    assert together == of_whole  # other batches may differ in the last bit
    assert contents(tmp_path / "whole") == contents(tmp_path / "stopped")


class Killed(BaseException):
    """Ends a call wherever it is, as a signal would."""


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(tokenizer, folder, tmp_path, seed, monkeypatch):
    """Killed before and after renames and while it writes; what is saved is saved after every chunk."""
    monkeypatch.setattr(encoding, "_PIXELS", 100)
    monkeypatch.setattr(encoding, "_SAVE_EVERY", 0.0)
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "whole", pad=True)
    dice = random.Random(seed)

    def fragile(function):
        def call(*arguments):
            if dice.random() < 0.15:
                raise Killed
            found = function(*arguments)
            if dice.random() < 0.15:
                raise Killed
            return found

        return call

    kills = 0
    with monkeypatch.context() as patch:
        for name in ("os.replace", "os.fsync"):
            module, function = name.split(".")
            patch.setattr(f"geovq.storage.files.{name}", fragile(getattr(__import__(module), function)))
        while True:
            try:
                assert encode_corpus(tokenizer, "sha", shards, tmp_path / "killed", pad=True).complete
                break
            except Killed:
                kills += 1
    assert kills
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_complete_folder_is_not_written_again(tokenizer, folder, tmp_path, monkeypatch):
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True)

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("geovq.storage.files._write", read_only)
    assert encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True) == (0, 0, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("00001.json", r"00001\.json: expected what the index names, found another file"),
        ("00001.bin", r"00001\.bin: expected the tokens that were written, found others"),
        (
            "index.json",
            r"index\.json: expected content of its sha256, found that it was changed; .* choose another folder",
        ),
    ],
)
def test_a_changed_file_of_a_complete_folder_is_refused_and_not_sealed(name, message, tokenizer, folder, tmp_path):
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True)
    path = tmp_path / "out" / name
    if name == "index.json":
        changed = path.read_bytes().replace(b'"left_out": 0', b'"left_out": 1', 1)
    elif name.endswith("json"):
        changed = path.read_bytes().replace(b'.png"', b'.pnG"', 1)
    else:
        changed = bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True)


def test_sizes_that_the_stride_does_not_divide_are_refused_by_name(tokenizer, folder, tmp_path):
    with pytest.raises(InputError, match=r"2\.png: expected a height and a width that the stride 4 divides"):
        encode_corpus(tokenizer, "sha", open_images(folder), tmp_path / "out")


def test_images_of_other_channels_are_refused_by_name(tokenizer, tmp_path):
    np.save(tmp_path / "grey.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"grey\.npy/000000000: expected 3 channels"):
        encode_corpus(tokenizer, "sha", open_images(tmp_path / "grey.npy"), tmp_path / "out")


def test_images_that_the_tokenizer_refuses_are_left_out(tokenizer, folder, tmp_path, monkeypatch):
    encode = tokenizer.encode

    def refuses(images, **options):
        if images.shape[2] == 12:
            raise InputError("plan: expected more memory")
        return encode(images, **options)

    monkeypatch.setattr(tokenizer, "encode", refuses)
    found = encode_corpus(tokenizer, "sha", open_images(folder), tmp_path / "out", pad=True)
    assert found == (6, 3, True)
    left_out = {each.name: each.why for each in open_tokens(tmp_path / "out").left_out()}
    assert left_out.keys() == {"1.png", "4.png", "7.png"}
    assert left_out["7.png"] == "plan: expected more memory"


def test_a_damaged_part_is_encoded_anew(tokenizer, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_PIXELS", 1)
    shards = open_images(folder)
    encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True, stop=lambda: True)
    (part,) = (tmp_path / "out").glob(".*.part.npz")
    part.write_bytes(part.read_bytes()[:50])
    assert encode_corpus(tokenizer, "sha", shards, tmp_path / "out", pad=True) == (8, 1, True)
    assert not list((tmp_path / "out").glob(".*"))


def test_other_images_do_not_go_on_in_the_same_folder(tokenizer, folder, tmp_path):
    encode_corpus(tokenizer, "sha", open_images(folder), tmp_path / "out", pad=True, stop=lambda: True)
    (folder / "8.png").unlink()
    with pytest.raises(InputError, match="begun with the same images and num_shards, found another"):
        encode_corpus(tokenizer, "sha", open_images(folder), tmp_path / "out", pad=True)
