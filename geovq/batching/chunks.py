"""A jitted function over many rows: chunks of one size, so that memory is bounded and one compilation serves any n above it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from geovq.batching.processes import WHOLE, Part, gather, own_mesh
from geovq.batching.processes import part as part_of_process

Progress = Callable[[int], None]
"""Called with the number of rows done since the last call."""


def padded_chunks(*arrays: np.ndarray, chunk: int, part: Part = WHOLE) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Consecutive chunks of rows, all of one size: the last is padded by repeating its last row.

    Args:
        arrays: One or more arrays (n, ...) of the same n >= 1.
        chunk: Rows of every chunk, even where n is smaller.
        part: Whose chunks; every process has at least one, so that some have the same where there are too few.

    Yields:
        Which rows they are, and the rows of every array, (chunk, ...).
    """
    n = len(arrays[0])
    for span in spans(n, chunk, part):
        rows = [a[span] for a in arrays]
        missing = chunk - len(rows[0])
        if missing:
            rows = [np.concatenate([r, np.repeat(np.asarray(r[-1:]), missing, axis=0)]) for r in rows]
        yield span, rows


def spans(n: int, chunk: int, part: Part = WHOLE) -> list[slice]:
    """The chunks of a process: every so many'th of all."""
    starts = range(0, n, chunk)
    return [slice(start, min(start + chunk, n)) for start in starts[part.index % len(starts) :: part.count]]


def divided(rows: tuple[Any, ...], mesh: Mesh | None) -> tuple[Any, ...]:
    """Rows on the devices, each on one of them."""
    return jax.device_put(rows, None if mesh is None else NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def map_chunks(
    fn: Callable,
    *arrays: np.ndarray,
    chunk: int,
    pad: bool = False,
    mesh: Mesh | None = None,
    check: Callable[[int, Any], None] | None = None,
    progress: Progress | None = None,
) -> Any:
    """Applies `fn` to consecutive chunks of rows and puts together what it returns, on the host.

    `fn` only ever sees one shape, and what padding made is cut off again. Rows must not influence each other. While a chunk is
    computed the one before it is fetched, so an accelerator need not wait for the host. Processes that share rows
    (`geovq.batching.processes`) compute every so many'th chunk, each on all its devices.

    Args:
        fn: Takes arrays (chunk, ...) and returns an array, or a tree of arrays, with the same leading size.
        arrays: One or more arrays (n, ...) of the same n >= 1.
        chunk: Rows per call.
        pad: Whether fewer rows than a chunk are padded too, so that one compilation serves any n; else they are a chunk of
            their own size.
        mesh: Devices of this process among which the rows of a chunk are divided; None takes the default device, or all after
            `geovq.batching.processes.join`. Then every chunk is padded.
        check: Called with the number of the first row and the results of every chunk that is fetched; it may raise.
        progress: Called after every chunk.

    Returns:
        NumPy array (n, ...), or a tree of them. No more memory than this and two chunks is taken.
    """
    n, whose, mesh = len(arrays[0]), part_of_process(), own_mesh() if mesh is None else mesh
    chunk = chunk if pad else min(chunk, -(-n // whose.count))
    if mesh is not None:
        mesh = Mesh(mesh.devices, mesh.axis_names)  # the compiler divides what `fn` does, whatever the axes' types
        chunk = -(-chunk // mesh.size) * mesh.size
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
            progress(min(span.start + whose.count * chunk, n) - span.start)  # the others are as far

    for span, rows in padded_chunks(*arrays, chunk=chunk, part=whose):
        out = fn(*(rows if mesh is None else divided(tuple(rows), mesh)))
        if pending is not None:
            fetch(*pending)
        pending = (span, out)
    assert pending is not None  # n >= 1
    fetch(*pending)
    return found if whose.count == 1 else jax.tree.map(lambda whole: _exchange(whole, chunk, whose), found)


def _exchange(whole: np.ndarray, chunk: int, whose: Part) -> np.ndarray:
    """The rows that each process has computed, in all of them."""
    n = len(whole)
    chunks = [spans(n, chunk, Part(index, whose.count)) for index in range(whose.count)]
    most = max(map(len, chunks)) * chunk
    own = np.concatenate([whole[span] for span in chunks[whose.index]])
    gathered = gather(np.concatenate([own, np.repeat(own[-1:], most - len(own), axis=0)]))
    for rows, theirs in zip(gathered, chunks, strict=True):
        ends = np.cumsum([span.stop - span.start for span in theirs])
        for span, end in zip(theirs, ends, strict=True):
            whole[span] = rows[end - (span.stop - span.start) : end]
    return whole
