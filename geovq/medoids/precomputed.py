"""Lengths that were computed elsewhere, as a graph of training points and as edges of new ones."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from geovq.graph.csr import shortest_length
from geovq.validation import InputError

# Difference that rounding leaves between the two directions of a computed distance, as a share of it and of the largest.
_ASYMMETRY = 1e-6
_CANCELLATION = 1e-7


def graph_of_lengths(lengths: np.ndarray | csr_array) -> csr_array:
    """Precomputed lengths between training points, as a graph.

    Args:
        lengths: (n, n), dense, with an edge everywhere, or sparse, with one for each stored entry. The diagonal is not read;
            zeros become their `shortest_length`; directions that differ by rounding are averaged.

    Returns:
        Graph (n, n), to be checked by `k_medoids`: directions that differ by more than rounding are left as they are.

    Raises:
        InputError: Not square.
    """
    n = lengths.shape[0]
    if lengths.shape != (n, n):
        raise InputError(
            f"X: expected precomputed lengths of shape (n, n), found {lengths.shape}; give one row and column a point."
        )
    if isinstance(lengths, np.ndarray):
        others = ~np.eye(n, dtype=bool)
        nodes = np.broadcast_to(np.arange(n, dtype=np.int32), (n, n))
        graph = csr_array((lengths[others].astype(np.float64), nodes[others], np.arange(n + 1) * (n - 1)), shape=(n, n))
    else:
        stored = lengths.tocoo()
        others = stored.row != stored.col
        pairs = (stored.row[others], stored.col[others])
        graph = csr_array((stored.data[others].astype(np.float64), pairs), shape=(n, n))
    graph.sort_indices()
    graph.data[graph.data == 0] = shortest_length(graph.data)  # copies
    back = graph.T.tocsr()
    rounding = {"rtol": _ASYMMETRY, "atol": _CANCELLATION * graph.data.max(initial=0)}
    if np.array_equal(graph.indices, back.indices) and np.allclose(graph.data, back.data, **rounding):
        graph.data = (graph.data + back.data) / 2
    return graph


def edges_of_lengths(lengths: np.ndarray | csr_array) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """Precomputed lengths from new points to training points, as edges.

    Args:
        lengths: (q, n), dense or CSR.

    Returns:
        Training points and lengths (q, k), where k is the most that a row has; infinite lengths fill up the others.

    Raises:
        InputError: A sparse row without any length.
    """
    if isinstance(lengths, np.ndarray):
        return np.broadcast_to(np.arange(lengths.shape[1]), lengths.shape), lengths
    counts = np.diff(lengths.indptr)
    if (counts == 0).any():
        raise InputError(
            f"X: expected a stored length in every row, found none in row {np.argmin(counts)}; "
            "store one to at least one training point."
        )
    rows = np.repeat(np.arange(len(counts)), counts)
    columns = np.arange(len(rows)) - np.repeat(lengths.indptr[:-1], counts)
    near, steps = np.zeros((len(counts), counts.max()), np.int64), np.full((len(counts), counts.max()), np.inf)
    near[rows, columns], steps[rows, columns] = lengths.indices, lengths.data
    return near, steps
