"""Tokens on disk: what is written is read again, and damage is refused."""

import json

import numpy as np
import pytest

from geovq.corpus.token_shards import (
    Header,
    Shard,
    Unreadable,
    begin,
    export_stream,
    finish,
    has_shard,
    open_tokens,
    smallest_dtype,
    write_shard,
)
from geovq.validation import InputError

HEADER = Header("tokenizer", 300, 1, "source", 2)


@pytest.fixture
def folder(tmp_path, rng):
    """Two shards, of three images of different sizes and of none."""
    grids = [rng.integers(0, 300, shape).astype(np.int32) for shape in [(2, 3), (1, 4), (2, 2)]]
    begin(tmp_path / "tokens", HEADER)
    write_shard(tmp_path / "tokens", 0, HEADER, Shard(["a/1.png", "a/2.png", "b.png"], grids, ["a", "a", "b"]))
    write_shard(tmp_path / "tokens", 1, HEADER, Shard([], [], None, [Unreadable("c.png", "c.png: broken")]))
    return tmp_path / "tokens", grids


def test_what_is_written_is_read_again(folder):
    path, grids = folder
    finish(path)
    tokens = open_tokens(path)
    assert (len(tokens), tokens.num_tokens, tokens.num_shards) == (3, 14, 2)
    for image, grid, name, label in zip(tokens, grids, ["a/1.png", "a/2.png", "b.png"], "aab", strict=True):
        np.testing.assert_array_equal(image.tokens, grid)
        assert (image.name, image.label) == (name, label)
    np.testing.assert_array_equal(tokens[-1].tokens, grids[-1])
    assert [image.name for image in tokens[1:]] == ["a/2.png", "b.png"]
    assert tokens.unreadable == [Unreadable("c.png", "c.png: broken")]
    assert isinstance(tokens.stream(0), np.memmap)
    tokens.verify()
    with pytest.raises(IndexError):
        tokens[3]


def test_several_codes_have_an_axis(tmp_path, rng):
    header = HEADER._replace(num_quantizers=2, num_shards=1)
    grid = rng.integers(0, 300, (2, 3, 2))
    begin(tmp_path / "tokens", header)
    write_shard(tmp_path / "tokens", 0, header, Shard(["a"], [grid], None))
    finish(tmp_path / "tokens")
    tokens = open_tokens(tmp_path / "tokens")
    np.testing.assert_array_equal(tokens[0].tokens, grid)
    assert tokens.num_tokens == 6


@pytest.mark.parametrize(("codes", "dtype"), [(2, "u1"), (256, "u1"), (257, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_integers_have_the_smallest_width(codes, dtype):
    assert smallest_dtype(codes) == np.dtype(dtype)


def test_a_folder_is_complete_or_refused(folder):
    path, _ = folder
    with pytest.raises(InputError, match="expected all of its 2 shards, found 2; run the command again"):
        open_tokens(path)
    (path / "00001.json").unlink()
    assert has_shard(path, 0)
    assert not has_shard(path, 1)
    with pytest.raises(InputError, match=r"00001\.json: expected a JSON file, found none"):
        finish(path)


def test_another_tokenizer_or_other_images_are_refused(folder):
    path, _ = folder
    begin(path, HEADER)  # the same goes on
    for changed in ("tokenizer", "source"):
        with pytest.raises(InputError, match=f"found another {changed}; choose another folder"):
            begin(path, HEADER._replace(**{changed: "other"}))


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "photograph.png").touch()
    with pytest.raises(InputError, match="expected no such folder, or an empty one, found other files"):
        begin(tmp_path, HEADER)
    with pytest.raises(InputError, match=r"expected a folder of tokens, found no index\.json"):
        open_tokens(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damaged_tokens_are_refused(folder, damage):
    path, _ = folder
    finish(path)
    data = bytearray((path / "00000.bin").read_bytes())
    data[3] ^= 1
    kept = {"flipped": bytes(data), "truncated": bytes(data[:-1]), "missing": None}[damage]
    (path / "00000.bin").unlink()
    if kept is not None:
        (path / "00000.bin").write_bytes(kept)
    message = "the file is damaged" if damage == "flipped" else "expected 28 bytes, found"
    with pytest.raises(InputError, match=message):
        open_tokens(path).verify()


def test_a_shard_of_another_folder_is_refused(folder):
    path, _ = folder
    finish(path)
    shard = json.loads((path / "00000.json").read_text())
    (path / "00000.json").write_text(json.dumps(shard | {"sha256": "0" * 64}))
    with pytest.raises(InputError, match="expected the shard that the index names"):
        open_tokens(path)


def test_the_flat_stream_has_a_separator_before_every_image(folder, tmp_path):
    path, grids = folder
    finish(path)
    dtype = export_stream(open_tokens(path), tmp_path / "train.bin")
    wanted = np.concatenate([part for grid in grids for part in ([300], grid.reshape(-1))])
    np.testing.assert_array_equal(np.fromfile(tmp_path / "train.bin", dtype), wanted)
    export_stream(open_tokens(path), tmp_path / "plain.bin", separator=False)
    assert (tmp_path / "plain.bin").stat().st_size == 2 * 14
