"""Files that are whole or absent: written under a temporary name and renamed, read whole or refused in one line.

Files come from strangers. What a file claims is compared with its length before memory is taken for it.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from geovq.paths import as_path
from geovq.validation import InputError, refusing

MOST_JSON = 1 << 26
"""Bytes of a JSON file at most, 64 MiB; what it says takes some ten times as many."""

_UNFINISHED = ".tmp"
"""End of the name under which a file is written, before it is renamed."""

_META = "__meta__"
_SHA256 = "sha256"

_REGISTERED = 2
"""What NumPy's `isbuiltin` says of a dtype that another package has registered, such as bfloat16."""


_Turn = Callable[[], AbstractContextManager[bool]]


def _alone() -> AbstractContextManager[bool]:
    """The turn of a program that runs in one process."""
    return contextlib.nullcontext(True)


_turn: _Turn = _alone


def take_turns(turn: _Turn) -> None:
    """From now on files change within `turn()`, in the process where it gives True."""
    global _turn
    _turn = turn


def turn() -> AbstractContextManager[bool]:
    """Around a change of files that several processes are about to make: gives whether this one makes it."""
    return _turn()


def digest(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names.

    Args:
        arrays: Arrays by name.
        meta: JSON-serialisable values that belong to them, hashed too.

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(json.dumps(dict(meta or {}), sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"\n{name} {dtype_name(array)} {array.shape}\n".encode())
        sha.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return sha.hexdigest()


def dtype_name(array: np.ndarray) -> str:
    """What `np.dtype` takes to the dtype of an array: with its byte order, or as bfloat16 where NumPy has no such dtype.

    For names of the second kind ml_dtypes has to be imported, as `from_bits` does.
    """
    return array.dtype.name if array.dtype.isbuiltin == _REGISTERED else array.dtype.str


def to_bits(array: np.ndarray) -> np.ndarray:
    """The same bits in a dtype that files know: bfloat16 as uint16, float8 as uint8; other arrays as they are."""
    if array.dtype.isbuiltin != _REGISTERED:
        return array
    return array.view(f"u{array.dtype.itemsize}")


def from_bits(bits: np.ndarray, name: str) -> np.ndarray:
    """The array that `to_bits` took apart.

    Args:
        bits: What `to_bits` returned.
        name: What `dtype_name` said of the array.

    Raises:
        ValueError, TypeError: No dtype of that name, or one of another size.
    """
    import ml_dtypes  # noqa: F401  # late, and for its effect: NumPy knows these dtypes from now on

    return bits if bits.dtype == np.dtype(name) else bits.view(np.dtype(name))


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Writes a file that is never seen half-written: temporary name, fsync, rename, fsync of the folder.

    Args:
        path: Where it goes, in the home folder if it begins with "~"; its folder is made.
        data: The whole content.

    Raises:
        InputError: The disk is full, a folder has that name, or the file cannot be written; an older file there is untouched.
    """
    path = as_path("path", path)
    if path.is_dir():
        raise InputError(
            f"{path}: expected to write a file, found a folder of that name; move it away or take another name."
        )
    with turn() as mine:
        if mine:
            _write(path, data)


def _write(path: pathlib.Path, data: bytes | memoryview) -> None:
    """What `write_bytes` does, in the process that writes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: expected to write {len(data):,} bytes, found: {error.strerror or error}; "
            "free space or choose another folder. An older file there is untouched."
        ) from error


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes from a folder what `write_bytes` left there when it was killed; no other process may write there."""
    with turn() as mine:
        for leftover in pathlib.Path(folder).glob(f".*{_UNFINISHED}") if mine else ():
            leftover.unlink()


def check_writable(path: str | os.PathLike) -> None:
    """Refuses a file that cannot be written, before hours of work: writes another one beside it, and removes what it made.

    Raises:
        InputError: Its folder cannot be made or written to, or the path is a folder.
    """
    path = as_path("path", path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder; add a file's name.")
    with turn() as mine:
        if mine:
            trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
            made = [folder for folder in trial.parents if not folder.exists()]
            _write(trial, b"")
            trial.unlink()
            for folder in made:
                folder.rmdir()


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON by `write_bytes`; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_record(path: str | os.PathLike, values: Mapping[str, Any]) -> None:
    """Writes a JSON object with the checksum that `read_record` compares."""
    write_json(path, seal(values))


def write_results(path: str | os.PathLike, meta: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes {"meta": ..., "rows": [...]}, a row to a line, with the checksum that `read_record` compares."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    head, sha = json.dumps(meta, indent=2, allow_nan=False), digest({}, {"meta": meta, "rows": rows})
    write_bytes(path, f'{{"meta": {head},\n"rows": [\n{lines}\n],\n"{_SHA256}": "{sha}"}}\n'.encode())


@contextlib.contextmanager
def reading(path: str | os.PathLike, expected: str, remedy: str) -> Iterator[BinaryIO]:
    """Opens a file of a stranger: whatever goes wrong in the block is one InputError, which names the file.

    Args:
        path: The file.
        expected: What it should be, for the message.
        remedy: What to do where it is something else.

    Raises:
        InputError: Nothing there, a folder or a device, a file that cannot be read, or what the block raises.
    """
    path = as_path("path", path)
    if not path.is_file():  # a pipe would be waited for, and a device has no end
        found = "a folder" if path.is_dir() else "no regular file" if path.exists() else "none"
        raise InputError(f"{path}: expected {expected}, found {found}; check the path.")
    with refusing(str(path), expected, remedy), open(path, "rb") as file:
        yield file


_REMEDY = "restore it from a copy, or remove it and run the step that writes it"


def read_json(path: str | os.PathLike, *, remedy: str = _REMEDY) -> Any:
    """Reads a JSON file of at most `MOST_JSON` bytes; the remedy is what to do where it is damaged.

    Raises:
        InputError: The file is missing, larger, or not JSON.
    """
    with reading(path, "a JSON file", remedy) as file:
        if (size := os.fstat(file.fileno()).st_size) > MOST_JSON:
            raise ValueError(f"{size:,} bytes, of at most {MOST_JSON:,}")
        return json.loads(file.read())


def read_record(path: str | os.PathLike, *, remedy: str = _REMEDY) -> dict[str, Any]:
    """Reads what `write_record` or `write_results` wrote, without the checksum; the remedy as for `read_json`.

    Raises:
        InputError: As `read_json`; something else than an object; no checksum, or that of other content.
    """
    values = read_json(path, remedy=remedy)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}; {remedy}.")
    if not unseal(values):
        raise InputError(f"{path}: expected content of its sha256, found that it was changed; {remedy}.")
    return values


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with their checksum."""
    return {**values, _SHA256: digest({}, values)}


def unseal(values: dict[str, Any]) -> bool:
    """Takes the checksum out of an object, and says whether it is that of the rest."""
    return values.pop(_SHA256, None) == digest({}, values)


def save_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> str:
    """Saves arrays and metadata as one `.npz` that carries its own checksum.

    Args:
        path: The file to write.
        arrays: Arrays by name, of any dtype but objects; bfloat16 and other dtypes of JAX too.
        meta: JSON-serialisable values.

    Returns:
        The digest of the content.

    Raises:
        InputError: The file cannot be written.
    """
    sha, bits = digest(arrays, meta), {name: to_bits(array) for name, array in arrays.items()}
    dtypes = {name: dtype_name(array) for name, array in arrays.items() if array is not bits[name]}
    label = json.dumps({"meta": dict(meta), "sha256": sha, **({"dtypes": dtypes} if dtypes else {})})
    buffer = io.BytesIO()
    members: dict[str, Any] = {**bits, _META: np.array(label)}
    np.savez(buffer, **members)  # no pickles: objects have no digest
    write_bytes(path, buffer.getbuffer())
    return sha


def load_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Loads a file of `save_arrays`; never unpickles.

    Args:
        path: The file to read.

    Returns:
        The arrays by name, and the metadata.

    Raises:
        InputError: The file is missing, truncated, of another kind, or its content does not match its checksum.
    """
    remedy = "restore it from a copy or make it again"
    with reading(path, "a .npz file of arrays written by this project", remedy) as file:
        arrays = _read_members(file)
        label = json.loads(str(arrays.pop(_META)))
        meta, sha = dict(label["meta"]), str(label[_SHA256])
        arrays |= {name: from_bits(arrays[name], str(dtype)) for name, dtype in label.get("dtypes", {}).items()}
    found = digest(arrays, meta)
    if found != sha:
        raise InputError(
            f"{path}: expected sha256 {sha[:12]}…, found {found[:12]}…: the content was changed; {remedy}."
        )
    return arrays, meta


def _read_members(file: BinaryIO) -> dict[str, np.ndarray]:
    """Arrays of an archive by name. They are not compressed, so that none is larger than the file, nor all together."""
    with zipfile.ZipFile(file) as archive:
        members, size = archive.infolist(), os.fstat(file.fileno()).st_size
        claimed = sum(member.file_size for member in members)
        if claimed > size:
            raise ValueError(f"{size:,} bytes that unpack to {claimed:,}")
        return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header may claim no more than is there."""
    with archive.open(member) as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, _, dtype = read_header(file)
        claimed, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if claimed != there or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} with {there:,} bytes for shape {shape} of {dtype}")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def stored_digest(path: str | os.PathLike) -> str:
    """The digest of a file of arrays, verified by reading it; errors as `load_arrays`."""
    return digest(*load_arrays(path))
