"""Files that are whole or absent: arrays with a checksum in one `.npz`, written under a temporary name and renamed."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geovq.validation import InputError

_META = "__meta__"

_REGISTERED = 2
"""What NumPy's `isbuiltin` says of a dtype that another package has registered, such as bfloat16."""

_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Errors of a damaged archive: a flipped bit can make it look encrypted, or packed by an unknown method."""


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
        path: Where it goes; its folder is made.
        data: The whole content.

    Raises:
        InputError: The disk is full, or the file cannot be written; an older file there is untouched.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def check_writable(path: str | os.PathLike) -> None:
    """Refuses a file that cannot be written, before hours of work: writes another one beside it, and removes that.

    Raises:
        InputError: Its folder cannot be made or written to, or the path is a folder.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder; add a file's name.")
    trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
    write_bytes(trial, b"")
    trial.unlink()


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON by `write_bytes`; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_results(path: str | os.PathLike, meta: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes {"meta": ..., "rows": [...]} by `write_bytes`, a row to a line; NaN is refused, since JSON has none."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    head = json.dumps(meta, indent=2, allow_nan=False)
    write_bytes(path, f'{{"meta": {head},\n"rows": [\n{lines}\n]}}\n'.encode())


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: The file is missing or is not JSON.
    """
    try:
        return json.loads(pathlib.Path(path).read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a JSON file, found none; run the step that writes it.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON file, found: {error}; restore or remove it.") from error


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
    np.savez(buffer, allow_pickle=False, **bits, **{_META: np.array(label)})
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
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        label = json.loads(str(arrays.pop(_META)))
        meta, sha = label["meta"], label["sha256"]
        arrays |= {name: from_bits(arrays[name], dtype) for name, dtype in label.get("dtypes", {}).items()}
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: expected a file of arrays, found {error.strerror}; check the path.") from error
    except _DAMAGED as error:
        raise InputError(
            f"{path}: expected a .npz written by this project, found one that is truncated or of another kind "
            f"({type(error).__name__}); restore it from a copy or make it again."
        ) from error
    found = digest(arrays, meta)
    if found != sha:
        raise InputError(
            f"{path}: expected sha256 {sha[:12]}…, found {found[:12]}…: the content was changed; "
            "restore it from a copy or make it again."
        )
    return arrays, meta


def stored_digest(path: str | os.PathLike) -> str:
    """The digest of a file of arrays, verified by reading it; errors as `load_arrays`."""
    return digest(*load_arrays(path))
