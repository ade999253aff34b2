"""Every reader of files of strangers: what is spoiled is read as before or refused in one line, in little memory."""

import gzip
import io
import json
import pathlib
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from benchmarks.faults.corruptions import bytes_of, corrupt_files, restore
from benchmarks.faults.readers import FOLDERS, READERS, Reader
from benchmarks.faults.spoiling import NESTED, refused
from geovq.storage.arrays import load_arrays
from geovq.storage.records import MOST_JSON
from tests.typechecker import annotations_off
from train.data import datasets

pytest.importorskip("grain")

EVERY = pytest.mark.parametrize("name", READERS)


def fuzz(reader: Reader, folder: pathlib.Path, seeds: range) -> list[str]:
    """What the refusals say of a good file that was spoiled once for each seed."""
    path = reader.write(folder)
    good, said = bytes_of(folder), []
    for seed in seeds:
        restore(folder, good)
        reader.spoil(np.random.default_rng(seed), path)
        try:
            with annotations_off():  # they refuse what a parser is about to look at
                said.append(refused(lambda: reader.read(path)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    return [message for message in said if message]


@EVERY
def test_spoiled_files_are_read_or_refused(name, tmp_path):
    said = fuzz(READERS[name], tmp_path, range(20))
    assert said or name == "log", "nothing that was spoiled was refused"  # lines of a log are left out


@pytest.mark.parametrize(
    "name", [*READERS, *FOLDERS.keys() - {"checkpoint"}]
)  # Orbax's threads fail later, in other tests
def test_damaged_files_are_read_as_before_or_refused(name):
    with annotations_off():  # they look at tokens of a folder that may be damaged
        found = corrupt_files(name, range(24))
    assert [trial for trial in found if trial.outcome == "anything else"] == []


@pytest.mark.slow
@EVERY
def test_many_spoiled_files_are_read_or_refused(name, tmp_path):
    fuzz(READERS[name], tmp_path, range(20, 520))


def npy_of(content: bytes, shape: tuple[int, ...] | None = None) -> bytes:
    """An array whose header claims a shape; without one, that of its bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape or (len(content),)}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz_claiming(shape: tuple[int, ...]) -> bytes:
    """An archive whose one array claims a shape and has 64 bytes."""
    return archive({"a.npy": npy_of(bytes(64), shape)})


def archive(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def many_times(content: bytes) -> bytes:
    """An archive whose index names one entry a thousand times."""
    one = archive({"a.npy": content})
    start = one.index(b"PK\x01\x02")
    entry, end = one[start : one.index(b"PK\x05\x06")], bytearray(one[one.index(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 1000, 1000, 1000 * len(entry))
    return one[:start] + entry * 1000 + bytes(end)


def npz_header(text: bytes) -> bytes:
    return archive({"a.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text})


def png_of(side: int) -> bytes:
    """An image that claims side x side pixels and has a few bytes."""
    import zlib

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def tar_claiming(size: int) -> bytes:
    """A tar whose one member claims so many bytes and has a thousand."""
    member = tarfile.TarInfo("a.png")
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


HEADER = 8 * b"\0"
BOMBS: dict[str, tuple[str, bytes]] = {
    "a header of 10^12 numbers": ("arrays", npz_claiming((10**12,))),
    "a header of 10^30 numbers": ("arrays", npz_claiming((10**10, 10**10, 10**10))),
    "a negative shape": ("arrays", npz_claiming((-4, -4))),
    "an unfinished header": ("arrays", npz_header(b"{'descr': '<f4', 'shape': (((")),
    "a nested header": ("arrays", npz_header(b"(" * 9000)),
    "a zip bomb": ("arrays", archive({"a.npy": npy_of(bytes(1 << 26))}, zipfile.ZIP_DEFLATED)),
    "an entry named a thousand times": ("arrays", many_times(npy_of(bytes(1 << 20)))),
    "a gzip bomb": ("IDX", gzip.compress(bytes(1 << 28), 1)),
    "an IDX header of 10^12 numbers": ("IDX", gzip.compress(struct.pack(">4I", 0x803, 10**4, 10**4, 10**4))),
    "nested brackets": ("JSON", NESTED),
    "nested objects": ("record", b'{"a":' * 200_000),
    "a number of 10^6 digits": ("JSON", b"9" * 10**6),
    "a long file": ("JSON", b" " * (MOST_JSON + 1)),
    "nested weights": ("TAESD, weights", struct.pack("<Q", 200_000) + NESTED),
    "a header as long as 10^18": ("TAESD, weights", struct.pack("<Q", 10**18) + b"{}"),
    "tensors of 10^18 bytes": (
        "TAESD, weights",
        (lambda h: struct.pack("<Q", len(h)) + h)(
            json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}).encode()
        ),
    ),
    "a picture of 10^10 pixels": ("png image", png_of(10**5)),
    "an unfinished .npy header": (
        "npy of images",
        (lambda text: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)(
            b"{'descr': '|u1', 'shape': (((" + b" " * 40
        ),
    ),
    "a member of a terabyte": ("tar of images", tar_claiming(10**12)),
    "nothing": ("arrays", b""),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_take_no_memory(bomb, tmp_path):
    """Besides the file itself, whose bytes are read, nothing is unpacked or allocated."""
    name, content = BOMBS[bomb]
    path = READERS[name].write(tmp_path)
    refused(lambda: READERS[name].read(path))  # what stays in memory once it is imported and traced
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert refused(lambda: READERS[name].read(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * datasets.MOST_BYTES if name == "IDX" else peak < 4e6 + 3 * len(content)


@EVERY
def test_a_folder_or_nothing_in_the_place_of_a_file_is_named(name, tmp_path):
    path = READERS[name].write(tmp_path)
    path.unlink()
    with annotations_off():  # they look at tokens of a folder that may be damaged
        refused(lambda: READERS[name].read(path))
        path.mkdir()
        assert refused(lambda: READERS[name].read(path)) or name == "stage"


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "p.npz")
    assert "found no regular file" in (refused(lambda: load_arrays(tmp_path / "p.npz")) or "")


@EVERY
def test_a_good_file_is_read(name, tmp_path):
    said = refused(lambda: READERS[name].read(READERS[name].write(tmp_path)))
    assert said is None
