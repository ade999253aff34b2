"""Untrusted files: what is read, spoiled in every way that an untrusted author or a disk could.

Bytes are spoiled as a disk does. JSON, and arrays with their meta, are spoiled and sealed again with the right checksum, as an
untrusted author does.
"""

import copy
import gzip
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from geovq.validation import InputError

Bytes = Callable[[np.random.Generator, bytes], bytes]

VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "../x", 0, -1, 1, 2.5, 1e300, float("nan"), float("inf"), 10**12, 10**400, 2**63),
    *([], {}, [1], [[1]], {"name": "Joint"}, [1e3, "a"], "9" * 5000, "\0"),
)
"""What may stand where something else is expected."""

NESTED = b"[" * 200_000


def spoil_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Bits flipped, ends cut off, parts removed, doubled, exchanged or made of large numbers."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        start, stop = sorted(int(i) for i in rng.integers(0, len(found) + 1, 2))
        stop = min(stop, start + 64)
        how = int(rng.integers(7))
        if how == 0 and found:
            found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
        elif how == 1:
            del found[start:]
        elif how == 2:
            del found[start:stop]
        elif how == 3:
            found[start:start] = found[start:stop]
        elif how == 4:
            found[start:stop] = b"\xff" * (stop - start)
        elif how == 5:
            found[start:stop] = b"9" * (stop - start)
        else:
            found[start:stop] = rng.bytes(stop - start)
    return bytes(found)


def spoil_json(rng: np.random.Generator, value: Any) -> Any:
    """One value of a JSON document is another, is missing, or has another name."""
    changed = copy.deepcopy(value)
    holders = list(_holders(changed))
    if not holders:
        return VALUES[int(rng.integers(len(VALUES)))]
    holder = holders[int(rng.integers(len(holders)))]
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = keys[int(rng.integers(len(keys)))]
    how = int(rng.integers(5))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    return changed


def _holders(value: Any) -> Iterator[Any]:
    """All objects and lists of a document that are not empty."""
    if isinstance(value, dict | list) and value:
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _holders(each)


def spoil_arrays(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One array is of another shape, dtype or content, is missing, or has another name."""
    changed = dict(arrays)
    name = sorted(changed)[int(rng.integers(len(changed)))]
    array, how = changed[name], int(rng.integers(9))
    if how == 0:
        del changed[name]
    elif how == 1:
        changed[f"{name}x"] = changed.pop(name)
    elif how == 2:
        changed[name] = array[:0] if array.ndim else np.zeros(0)
    elif how == 3:
        changed[name] = array.reshape(-1)
    elif how == 4:
        changed[name] = array[None]
    elif how == 5:
        changed[name] = array.astype(("i8", "c8", "?", "u1", "U8")[int(rng.integers(5))])
    elif how == 6:
        changed[name] = np.full_like(array, np.nan if array.dtype.kind == "f" else 10**9)
    elif how == 7:
        changed[name] = -array
    else:
        changed[name] = np.concatenate([array.reshape(-1)] * 2)
    return changed


def spoil_text(rng: np.random.Generator, data: bytes) -> bytes:
    """A JSON document as bytes: spoiled as JSON, or as bytes, or nested without end."""
    how = int(rng.integers(8))
    if how == 0:
        return NESTED
    return spoil_bytes(rng, data) if how < 4 else json.dumps(spoil_json(rng, json.loads(data))).encode()


def spoil_safetensors(rng: np.random.Generator, data: bytes) -> bytes:
    """Its header is spoiled as JSON and gets its right length, or its bytes are."""
    if rng.integers(2):
        return spoil_bytes(rng, data)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(spoil_json(rng, json.loads(data[8 : 8 + length]))).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def spoil_gzip(rng: np.random.Generator, data: bytes) -> bytes:
    """Its content is spoiled and packed again, or its bytes are."""
    if rng.integers(2):
        return spoil_bytes(rng, data)
    return gzip.compress(spoil_bytes(rng, gzip.decompress(data)), mtime=0)


def refused(read: Callable[[], Any]) -> str | None:
    """What the refusal says, in one line; None where the content was read. Any other error goes through."""
    try:
        read()
    except InputError as error:
        said = str(error)
        assert "\n" not in said, said
        assert len(said) < 2000, said
        return said
    return None
