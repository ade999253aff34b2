"""Tokens on disk: what is written is read again, and damage is refused."""

import json

import numpy as np
import pytest

from geovq.corpus.token_files import Header, smallest_dtype
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import (
    LeftOut,
    Shard,
    begin,
    finish,
    has_shard,
    write_shard,
)
from geovq.storage.records import read_record, write_record
from geovq.validation import InputError

HEADER = Header("tokenizer", "Whitened()", 300, 1, "images", 3)


@pytest.fixture
def folder(tmp_path, rng):
    """Three shards, the second of which has no tokens."""
    grids = [rng.integers(0, 300, shape).astype(np.int32) for shape in [(2, 3), (1, 4), (2, 3), (2, 3)]]
    path = tmp_path / "tokens"
    begin(path, HEADER)
    broken = [LeftOut("c.png", "c.png: broken")]
    write_shard(
        path, 0, HEADER, Shard(["a.png", "b.png"], grids[:2], [(16, 24), (7, 30)], ["a", 3], [LeftOut("x.png", "x")])
    )
    write_shard(path, 1, HEADER, Shard([], [], [], [], broken))
    write_shard(path, 2, HEADER, Shard(["d.png", "e.png"], grids[2:], [(16, 24)] * 2, [None, "e"], []))
    return path, grids


def test_what_is_written_is_read(folder):
    path, grids = folder
    finish(path)
    tokens = open_tokens(path)
    assert len(tokens) == 4
    assert (tokens.num_codes, tokens.num_quantizers, tokens.num_shards) == (300, 1, 3)
    assert tokens.num_tokens == 22
    assert tokens.grids == {(2, 3): 3, (1, 4): 1}
    for image, grid, name, label in zip(tokens, grids, "abde", ["a", 3, None, "e"], strict=True):
        np.testing.assert_array_equal(image.tokens, grid)
        assert (image.name, image.label) == (f"{name}.png", label)
    assert tokens[1].size == (7, 30)
    np.testing.assert_array_equal(tokens[-1].tokens, grids[-1])
    assert [image.name for image in tokens[1:3]] == ["b.png", "d.png"]
    assert list(tokens.left_out()) == [LeftOut("x.png", "x"), LeftOut("c.png", "c.png: broken")]
    assert isinstance(tokens.stream(0), np.memmap)
    assert "4 images, 22 tokens of 300 codes, in 3 shards" in repr(tokens)
    tokens.verify()
    with pytest.raises(IndexError):
        tokens[4]


def test_tokens_of_one_grid_are_an_array(folder):
    path, grids = folder
    finish(path)
    tokens = open_tokens(path)
    array = tokens.array((2, 3))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array[..., 0], [grids[0], grids[2], grids[3]])
    assert tokens.labels((2, 3)) == ["a", None, "e"]
    np.testing.assert_array_equal(tokens.array((1, 4))[..., 0], [grids[1]])
    with pytest.raises(InputError, match=r"one grid, found 2x3 \(3 images\), 1x4 \(1 images\); name one"):
        tokens.array()
    with pytest.raises(InputError, match=r"expected one of 2x3 .*, found 5x5"):
        tokens.array((5, 5))


def test_several_codes_have_an_axis(tmp_path, rng):
    header = HEADER._replace(num_quantizers=2, num_shards=1)
    grid = rng.integers(0, 300, (2, 3, 2))
    begin(tmp_path / "tokens", header)
    write_shard(tmp_path / "tokens", 0, header, Shard(["a"], [grid], [(16, 24)], [None], []))
    finish(tmp_path / "tokens")
    tokens = open_tokens(tmp_path / "tokens")
    np.testing.assert_array_equal(tokens[0].tokens, grid)
    np.testing.assert_array_equal(tokens.array(), [grid])
    assert tokens.labels() is None
    assert tokens.num_tokens == 6


@pytest.mark.parametrize(("codes", "dtype"), [(2, "u1"), (256, "u1"), (257, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_integers_have_the_smallest_width(codes, dtype):
    assert smallest_dtype(codes) == np.dtype(dtype)


def test_a_folder_is_complete_or_refused(folder):
    path, _ = folder
    with pytest.raises(InputError, match="expected all of its 3 shards, found 3 and no end; run the command again"):
        open_tokens(path)
    (path / "00001.json").unlink()
    assert has_shard(path, 0)
    assert not has_shard(path, 1)
    with pytest.raises(InputError, match=r"00001\.json: expected names and grids of a shard, found none"):
        finish(path)


def test_another_tokenizer_or_other_images_are_refused(folder):
    path, _ = folder
    begin(path, HEADER)  # the same goes on
    finish(path)
    begin(path, HEADER)
    for changed in ("tokenizer", "assigner", "images"):
        with pytest.raises(InputError, match=f"begun with the same {changed}, found another; choose another folder"):
            begin(path, Header(**HEADER._asdict() | {changed: "other"}))


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "photograph.png").touch()
    with pytest.raises(InputError, match=r"no such folder, or an empty one, found photograph\.png in it"):
        begin(tmp_path, HEADER)
    with pytest.raises(InputError, match=r"photograph\.png: expected a folder, found: Not a directory"):
        begin(tmp_path / "photograph.png", HEADER)
    with pytest.raises(InputError, match=r"expected a folder of tokens, found no index\.json"):
        open_tokens(tmp_path)


def test_another_index_is_refused(tmp_path):
    path = tmp_path / "index.json"
    for content, message in (("{}", "content of its sha256"), ("[]", "a JSON object")):
        path.write_text(content)
        with pytest.raises(InputError, match=f"expected {message}, found .* encode into a new folder"):
            open_tokens(tmp_path)
    for values in ({}, {"kind": "geovq.tokens", "version": 0}):
        write_record(path, values)
        with pytest.raises(InputError, match="expected an index of tokens of this version, found another file"):
            open_tokens(tmp_path)


def test_no_flipped_bit_of_an_index_is_read(folder):
    path, _ = folder
    finish(path)
    index = path / "index.json"
    whole = index.read_bytes()
    for position in range(0, len(whole), 3):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        index.write_bytes(data)
        with pytest.raises(InputError, match=r"index\.json: expected .* encode into a new folder"):
            open_tokens(path)


def test_an_index_of_other_content_is_refused(folder):
    path, _ = folder
    finish(path)
    values = read_record(path / "index.json")
    values["shards"][0]["more"] = 1
    write_record(path / "index.json", values)
    with pytest.raises(InputError, match=r"index\.json: expected an index of tokens, .*TypeError"):
        open_tokens(path)


def test_an_index_is_finished_again(folder):
    path, _ = folder
    finish(path)
    whole = (path / "index.json").read_bytes()
    finish(path)
    assert (path / "index.json").read_bytes() == whole


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
    message = "expected the tokens that were written" if damage == "flipped" else "expected 20 bytes, found"
    with pytest.raises(InputError, match=message):
        open_tokens(path).verify()


def test_a_shard_of_another_folder_is_refused(folder):
    path, _ = folder
    finish(path)
    shard = json.loads((path / "00000.json").read_text())
    (path / "00000.json").write_text(json.dumps(shard | {"names": ["p", "q"]}))
    with pytest.raises(InputError, match="expected what the index names"):
        open_tokens(path)[0]
