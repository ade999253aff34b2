"""Arrays and metadata as one .npz file that carries its own checksum."""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from geovq.storage.bits import digest, dtype_name, from_bits, to_bits
from geovq.storage.files import reading, write_bytes
from geovq.validation import InputError

_META = "__meta__"


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
        meta, sha = dict(label["meta"]), str(label["sha256"])
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
