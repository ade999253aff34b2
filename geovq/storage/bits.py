"""Arrays as bits: their checksums, and dtypes that files do not know."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_REGISTERED = 2
"""What NumPy's `isbuiltin` says of a dtype that another package has registered, such as bfloat16."""


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
