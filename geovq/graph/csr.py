"""Graphs of nearest neighbours, the check of a graph, and its edges listed and re-weighted.

A graph is a `scipy.sparse.csr_array` (n, n) that stores both directions of every undirected edge with the same length,
finite and > 0. Nothing here knows where the points or the lengths come from. Functions of a user's graph check it once;
`undirected` and `with_lengths` trust theirs.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, issparse, sparray, spmatrix
from scipy.sparse.csgraph import connected_components

from geovq.graph.neighbours import Neighbours, nearest_neighbours
from geovq.validation import InputError, check_finite

AnyGraph: TypeAlias = sparray | spmatrix
"""A sparse array or matrix of any format, before `check_graph`."""

MIN_LENGTH = 1e-12
"""Shortest length that an edge may have, as a share of the longest: shortest-path code reads zero as no edge, so exact copies are
this far apart. Far below what float32 geometry tells from zero, and still exact when added to the longest in float64."""


def shortest_length(lengths: Float[np.ndarray, " m"]) -> float:
    """`MIN_LENGTH` of the longest length, whatever their unit; of 1 where all are zero."""
    return max(MIN_LENGTH * (float(lengths.max(initial=0)) or 1.0), float(np.finfo(np.float64).tiny))


def knn_graph(points: Float[np.ndarray, "n d"], k: int, *, method: str = "auto", seed: int = 0) -> csr_array:
    """Graph of the k nearest neighbours, in Euclidean length.

    Two points are joined when either is among the k nearest of the other, so a node has at least k edges. Every point
    finds k others: copies of a point are neighbours at `shortest_length` (merge them first where they are many).

    Args:
        points: (n, d).
        k: Neighbours of each point, 1 <= k < n.
        method: How they are found, see `geovq.graph.neighbours.nearest_neighbours`, which also tells the recall.
        seed: Of an approximate method.

    Returns:
        Symmetric graph (n, n) of float64 lengths > 0, in the units of `points`.

    Raises:
        InputError: k outside 1..n-1, an unknown method, not a non-empty (n, d) array, NaN or infinity.
    """
    return neighbour_graph(nearest_neighbours(points, k, method=method, seed=seed))


def neighbour_graph(neighbours: Neighbours) -> csr_array:
    """`knn_graph` of neighbours that were found before."""
    n, k = neighbours.nodes.shape
    return join(n, np.repeat(np.arange(n), k), neighbours.nodes.ravel(), neighbours.lengths.ravel())


def largest_component(graph: AnyGraph) -> Int[np.ndarray, " c"]:
    """Nodes of the largest connected component, sorted; of equally large ones, that of the smallest node.

    Raises:
        InputError: What `check_graph` refuses.
    """
    _, labels = connected_components(check_graph(graph), directed=False)
    first = np.argmax(np.bincount(labels)[labels])
    return np.flatnonzero(labels == labels[first])


def edges(graph: AnyGraph) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Every undirected edge once: senders (m,) and receivers (m,), sender < receiver, sorted by sender, then receiver.

    Raises:
        InputError: What `check_graph` refuses.
    """
    senders, receivers, _ = undirected(check_graph(graph))
    return senders, receivers


def reweight(graph: AnyGraph, lengths: Float[np.ndarray, " m"]) -> csr_array:
    """The same edges with other lengths.

    Args:
        graph: Symmetric graph (n, n) with m undirected edges.
        lengths: (m,), finite and >= 0, in the order of `edges(graph)`; those below their `shortest_length` are raised to it.

    Returns:
        Symmetric graph (n, n) in float64, of the same pattern.

    Raises:
        InputError: What `check_graph` refuses; a wrong number of lengths; NaN, infinite or negative lengths.
    """
    return with_lengths(check_graph(graph), lengths)


def with_lengths(graph: csr_array, lengths: Float[np.ndarray, " m"]) -> csr_array:
    """`reweight` of a graph that was checked before: the lengths are still checked."""
    senders, receivers, _ = undirected(graph)
    lengths = np.asarray(lengths, dtype=np.float64)
    if lengths.shape != senders.shape:
        raise InputError(
            f"lengths: expected shape {senders.shape}, one for each edge, found {lengths.shape}; "
            "measure the edges that `edges(graph)` lists."
        )
    check_finite("lengths", lengths)
    if (lengths < 0).any():
        e = int(np.argmax(lengths < 0))
        raise InputError(
            f"lengths: expected values >= 0, found {lengths[e]:g} for edge {e}, from node {senders[e]} to "
            f"{receivers[e]}; mend what measured it."
        )
    index_dtype = graph.indices.dtype
    arcs = (np.maximum(lengths, shortest_length(lengths)), (senders.astype(index_dtype), receivers))
    one_way = csr_array(arcs, shape=graph.shape)
    return csr_array(one_way + one_way.T)


def check_graph(graph: AnyGraph) -> csr_array:
    """Checks a graph at the public door; costs one transposition.

    Args:
        graph: Any scipy.sparse array (n, n), n >= 1.

    Returns:
        The same graph as a csr_array of float64 with sorted column indices. The one given is not changed.

    Raises:
        InputError: Not sparse, not square, empty; or, naming the first bad edge: a length that is NaN, infinite or
            not > 0, an edge from a node to itself, one stored twice, one whose two directions differ.
    """
    if not issparse(graph):
        raise InputError(
            f"graph: expected a scipy.sparse array (n, n), found {type(graph).__name__}; pass knn_graph(points, k), "
            "or csr_array of your matrix with no stored entry where there is no edge."
        )
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1] or graph.shape[0] == 0:
        raise InputError(f"graph: expected shape (n, n) with n >= 1, found {graph.shape}; pass one row for each node.")
    checked = csr_array(graph, dtype=np.float64)
    if not checked.has_sorted_indices:
        checked = checked.sorted_indices()
    if not _is_sound(checked):
        _refuse(checked)
    return checked


def _is_sound(graph: csr_array) -> bool:
    """Whether a graph passes every check, in as few passes over its arcs as NumPy can do."""
    if graph.nnz == 0:
        return True
    if not (graph.data.min() > 0 and graph.data.max() < np.inf):  # NaN is neither
        return False
    if not graph.has_canonical_format or graph.diagonal().any():
        return False
    back = graph.T.tocsr()
    return np.array_equal(graph.indices, back.indices) and np.array_equal(graph.data, back.data)


def _refuse(graph: csr_array) -> None:
    """Raises the error that names the first bad entry."""
    senders, receivers, lengths = _senders(graph), graph.indices, graph.data
    twice = np.zeros(graph.nnz, dtype=bool)
    twice[1:] = (senders[1:] == senders[:-1]) & (receivers[1:] == receivers[:-1])
    for bad, expected, remedy in (
        (~np.isfinite(lengths), "finite lengths", "mend what measured it"),
        (lengths <= 0, "lengths > 0", f"raise zeros to {MIN_LENGTH:g} of the longest and mend negative ones"),
        (senders == receivers, "no edge from a node to itself", "remove the diagonal"),
        (twice, "every edge stored once in each direction", "keep the shorter"),
    ):
        if bad.any():
            e = int(np.argmax(bad))
            raise InputError(
                f"graph: expected {expected}, found {int(bad.sum())} bad entries, the first of length {lengths[e]:g} "
                f"from node {senders[e]} to node {receivers[e]}; {remedy}."
            )
    one_way = (graph != graph.T.tocsr()).tocoo()
    i, j = int(one_way.row[0]), int(one_way.col[0])
    raise InputError(
        f"graph: expected the same length in both directions, found {graph[i, j]:g} from node {i} to node {j} and "
        f"{graph[j, i]:g} back (0 means no edge); store both directions with one length."
    )


def _senders(graph: csr_array) -> Int[np.ndarray, " nnz"]:
    """Row of every stored entry."""
    return np.repeat(np.arange(graph.shape[0], dtype=graph.indices.dtype), np.diff(graph.indptr))


def undirected(graph: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Senders, receivers and lengths of the undirected edges of a checked graph."""
    senders = _senders(graph)
    once = senders < graph.indices
    return senders[once], graph.indices[once], graph.data[once]


def join(n: int, senders: np.ndarray, receivers: np.ndarray, lengths: np.ndarray) -> csr_array:
    """Graph of arcs (e,) that may name an edge once or twice, in any direction: the shorter counts, and none is zero."""
    # By sorted keys and not G.maximum(G.T), which would drop the zeros between copies before they can be floored.
    keys = np.minimum(senders, receivers).astype(np.int64) * n + np.maximum(senders, receivers)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    index_dtype = np.int32 if max(n, 2 * len(starts)) <= np.iinfo(np.int32).max else np.int64  # scipy's paths want 32
    low, high = (ends.astype(index_dtype) for ends in np.divmod(keys[order[starts]], n))
    shortest = np.minimum.reduceat(lengths[order], starts) if len(starts) else np.zeros(0)
    shortest = np.maximum(shortest, shortest_length(shortest))
    pairs = (np.concatenate([low, high]), np.concatenate([high, low]))
    graph = csr_array((np.concatenate([shortest, shortest]), pairs), shape=(n, n))
    graph.sort_indices()
    return graph
