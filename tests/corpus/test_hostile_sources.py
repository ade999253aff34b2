"""Corpora of strangers: what is spoiled gives images, is told image by image, or is refused in one line."""

import functools
import pathlib
import tarfile
import tracemalloc

import numpy as np
import pytest

from geovq.corpus.records import read_records
from geovq.corpus.sources import open_images
from geovq.corpus.token_files import Header
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import LeftOut, Shard, begin, finish, shard_path, write_shard
from tests.corpus.sources import png, write_tar
from tests.hostile import refused, spoil_bytes, spoil_text
from tests.test_hostile_files import Reader, by_bytes, fuzz
from tests.typechecker import annotations_off

pytest.importorskip("grain")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
HEADER = Header("tokenizer", "Whitened()", 300, 1, "images", 1)


def tar(folder: pathlib.Path) -> pathlib.Path:
    members = {f"{i}.png": png(image) for i, image in enumerate(IMAGES)} | {"0.cls": b"3", "1.txt": b"a dog"}
    write_tar(folder / "x.tar", members)
    return folder / "x.tar"


def npy(folder: pathlib.Path) -> pathlib.Path:
    np.save(folder / "x.npy", IMAGES)
    return folder / "x.npy"


def npz(folder: pathlib.Path, *, packed: bool) -> pathlib.Path:
    write = np.savez_compressed if packed else np.savez
    write(folder / "x.npz", images=IMAGES, labels=np.arange(3))
    return folder / "x.npz"


def array_record(folder: pathlib.Path) -> pathlib.Path:
    from array_record.python import array_record_module

    writer = array_record_module.ArrayRecordWriter(str(folder / "x.array_record"), "group_size:1")
    for image in IMAGES:
        writer.write(png(image))
    writer.close()
    return folder / "x.array_record"


def images(path: pathlib.Path) -> None:
    """Reads all; an image that cannot be read says so in one line."""
    for shard in open_images(path):
        for record in read_records(shard):
            assert (record.image is None) == bool(record.error)
            assert record.image is None or record.image.dtype == np.uint8
            assert "\n" not in record.error


def shards(spoiled: str, folder: pathlib.Path) -> pathlib.Path:
    """A folder of tokens, of whose files one is to be spoiled."""
    begin(folder / "t", HEADER)
    grids = [np.full((2, 3), i, np.int32) for i in range(2)]
    write_shard(
        folder / "t", 0, HEADER, Shard(["a.png", "b.png"], grids, [(16, 24)] * 2, ["a", 3], [LeftOut("x.png", "x")])
    )
    finish(folder / "t")
    files = {path.name: path for path in (folder / "t").rglob("*") if path.is_file()}
    return files[spoiled] if spoiled in files else shard_path(folder / "t", 0)


def tokens(path: pathlib.Path) -> None:
    """Reads all; tokens are codes before their checksums are compared."""
    with annotations_off():  # their check reads an image of the folder
        found = open_tokens(path.parent)
        for image in found:
            assert image.tokens.max() < found.num_codes
        found.verify()


READERS = {
    "tar": Reader(tar, by_bytes(spoil_bytes), images),
    "npy": Reader(npy, by_bytes(spoil_bytes), images),
    "npz": Reader(functools.partial(npz, packed=False), by_bytes(spoil_bytes), images),
    "packed npz": Reader(functools.partial(npz, packed=True), by_bytes(spoil_bytes), images),
    "array_record": Reader(array_record, by_bytes(spoil_bytes), images),
    "tokens": Reader(functools.partial(shards, "a shard"), by_bytes(spoil_bytes), tokens),
    "index of tokens": Reader(functools.partial(shards, "index.json"), by_bytes(spoil_text), tokens),
}


@pytest.mark.parametrize("name", READERS)
def test_spoiled_corpora_are_read_or_refused(name, tmp_path):
    fuzz(READERS[name], tmp_path, range(20))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_spoiled_corpora_are_read_or_refused(name, tmp_path):
    fuzz(READERS[name], tmp_path, range(20, 520))


def test_a_tar_that_claims_a_terabyte_takes_no_memory(tmp_path):
    member = tarfile.TarInfo("a.png")
    member.size = 10**12
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + png(IMAGES[0]) + bytes(1024))
    tracemalloc.start()
    try:
        said = refused(lambda: images(tmp_path / "x.tar"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6
    assert said is None or "x.tar" in said
