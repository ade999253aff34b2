"""A jitted function over many rows: chunks of one size, so that memory is bounded and one compilation serves any n above it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

Progress = Callable[[int], None]
"""Called with the number of rows done since the last call."""


def padded_chunks(*arrays: np.ndarray, chunk: int) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Consecutive chunks of rows, all of one size: the last is padded by repeating its last row.

    Args:
        arrays: One or more arrays (n, ...) of the same n >= 1.
        chunk: Rows of every chunk, even where n is smaller.

    Yields:
        Which rows they are, and the rows of every array, (chunk, ...).
    """
    n = len(arrays[0])
    for start in range(0, n, chunk):
        rows = [a[start : start + chunk] for a in arrays]
        missing = chunk - len(rows[0])
        if missing:
            rows = [np.concatenate([r, np.repeat(np.asarray(r[-1:]), missing, axis=0)]) for r in rows]
        yield slice(start, min(start + chunk, n)), rows


def map_chunks(
    fn: Callable,
    *arrays: np.ndarray,
    chunk: int,
    pad: bool = False,
    check: Callable[[int, Any], None] | None = None,
    progress: Progress | None = None,
) -> Any:
    """Applies `fn` to consecutive chunks of rows and puts together what it returns, on the host.

    `fn` only ever sees one shape, and what padding made is cut off again. Rows must not influence each other. While a chunk is
    computed the one before it is fetched, so an accelerator need not wait for the host.

    Args:
        fn: Takes arrays (chunk, ...) and returns an array, or a tree of arrays, with the same leading size.
        arrays: One or more arrays (n, ...) of the same n >= 1.
        chunk: Rows per call.
        pad: Whether fewer rows than a chunk are padded too, so that one compilation serves any n; else they are a chunk of
            their own size.
        check: Called with the number of the first row and the results of every chunk that is fetched; it may raise.
        progress: Called after every chunk.

    Returns:
        NumPy array (n, ...), or a tree of them. No more memory than this and two chunks is taken.
    """
    n = len(arrays[0])
    found: Any = None
    pending: tuple[slice, Any] | None = None

    def fetch(span: slice, out: Any) -> None:
        nonlocal found
        if found is None:
            found = jax.tree.map(lambda leaf: np.empty((n, *leaf.shape[1:]), leaf.dtype), out)
        count = span.stop - span.start
        rows = jax.tree.map(lambda leaf: np.asarray(leaf)[:count], out)
        if check is not None:
            check(span.start, rows)
        jax.tree.map(lambda whole, leaf: whole.__setitem__(span, leaf), found, rows)
        if progress is not None:
            progress(count)

    for span, rows in padded_chunks(*arrays, chunk=chunk if pad else min(chunk, n)):
        out = fn(*rows)
        if pending is not None:
            fetch(*pending)
        pending = (span, out)
    assert pending is not None  # n >= 1
    fetch(*pending)
    return found
