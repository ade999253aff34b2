"""A jitted function over many rows: chunks of one size, so that memory is bounded and one compilation serves any n above it."""

from collections.abc import Callable
from typing import Any

import numpy as np

Progress = Callable[[int], None]
"""Called with the number of rows done since the last call."""


def map_chunks(fn: Callable, *arrays: np.ndarray, chunk: int, progress: Progress | None = None) -> Any:
    """Applies `fn` to consecutive chunks of rows and concatenates what it returns, on the host.

    The last chunk is padded by repeating its last row, so `fn` only ever sees one shape; what the padding made is
    cut off again. Rows must not influence each other.

    Args:
        fn: Takes arrays (chunk, ...) and returns an array, or a tuple of arrays, with the same leading size.
        arrays: One or more arrays (n, ...) of the same n >= 1.
        chunk: Rows per call.
        progress: Called after every chunk.

    Returns:
        NumPy array (n, ...), or a tuple of them.
    """
    n = len(arrays[0])
    chunk = min(chunk, n)
    parts = []
    for start in range(0, n, chunk):
        rows = [a[start : start + chunk] for a in arrays]
        found = len(rows[0])
        if found < chunk:
            rows = [np.concatenate([r, np.repeat(np.asarray(r[-1:]), chunk - found, axis=0)]) for r in rows]
        out = fn(*rows)
        parts.append(
            tuple(np.asarray(o)[:found] for o in out) if isinstance(out, tuple) else (np.asarray(out)[:found],)
        )
        if progress is not None:
            progress(found)
    joined = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return joined if isinstance(out, tuple) else joined[0]
