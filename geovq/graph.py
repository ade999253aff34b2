"""Points to neighbour graphs: duplicates merged, nearest neighbours joined, components bridged, edges re-weighted.

A graph is a `scipy.sparse.csr_array` (n, n) that stores both directions of every undirected edge with the same length,
finite and > 0. Nothing here knows where the points or the lengths come from.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_array, issparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from geovq.checks import InputError, check_finite, check_points

MIN_LENGTH = 1e-12
"""Shortest length that an edge may have: shortest-path code reads zero as no edge, so exact copies are this far apart.
Far below what float32 geometry tells from zero, and still exact when added to lengths of order one in float64."""

# Up to this size a component asks the tree of all points for size + 1 neighbours, one of which must lie outside it.
_SMALL_COMPONENT = 64


class Merged(NamedTuple):
    """Distinct points, in the order in which they first occur.

    Attributes:
        points: Distinct rows (u, d), in the dtype that was given.
        weights: How many input rows each stands for (u,); they sum to n.
        index: Row of `points` that each input row became (n,), so `points[index]` equals the input.
    """

    points: Float[np.ndarray, "u d"]
    weights: Float[np.ndarray, " u"]
    index: Int[np.ndarray, " n"]  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


def merge_duplicates(points: Float[np.ndarray, "n d"]) -> Merged:
    """Merges rows that are exactly equal (-0.0 equals 0.0) and counts them.

    Raises:
        InputError: Not a non-empty (n, d) array, NaN or infinity.
    """
    points = check_points("points", points)
    rows = np.ascontiguousarray(points + 0.0)  # turns -0.0 into 0.0: rows are compared by their bytes
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, inverse, counts = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Merged(points[first[order]], counts[order].astype(np.float64), rank[inverse])


def knn_graph(points: Float[np.ndarray, "n d"], k: int) -> csr_array:
    """Exact graph of the k nearest neighbours, in Euclidean length.

    Two points are joined when either is among the k nearest of the other, so a node has at least k edges. Every point
    finds k others: copies of a point are neighbours at `MIN_LENGTH` (merge them first where they are many).

    Args:
        points: (n, d).
        k: Neighbours of each point, 1 <= k < n.

    Returns:
        Symmetric graph (n, n) of float64 lengths >= MIN_LENGTH, in the units of `points`.

    Raises:
        InputError: k outside 1..n-1, not a non-empty (n, d) array, NaN or infinity.
    """
    points = check_points("points", points)
    n = len(points)
    if not 1 <= k < n:
        raise InputError(
            f"k: expected 1 <= k < n = {n} points, found {k}; ask for fewer neighbours or give more points."
        )
    lengths, neighbours = cKDTree(points).query(points, k=k + 1, workers=-1)
    dropped = neighbours == np.arange(n)[:, None]
    dropped[~dropped.any(axis=1), -1] = True  # a point with more than k copies may not be told its own name
    senders = np.repeat(np.arange(n), k)
    return _symmetric(n, senders, neighbours[~dropped], lengths[~dropped])


def bridge_components(graph: csr_array, points: Float[np.ndarray, "n d"]) -> csr_array:
    """Joins connected components by the shortest Euclidean edges between them.

    Borůvka's rounds (Borůvka 1926): the smaller half of the components are each joined to the nearest point outside,
    until one is left. What is added is a minimum spanning tree of the components, each pair of them as far apart as
    their two nearest points. Bridges are Euclidean: bridge before re-weighting, so that they are measured too.
    Fast for many small components beside a large one; large ones far apart take one costly search for each bridge.

    Args:
        graph: Symmetric graph (n, n).
        points: (n, d), where the nodes lie.

    Returns:
        The connected graph: every edge of `graph`, and one bridge fewer than it has components.

    Raises:
        InputError: What `check_graph` refuses, or points that are not n finite rows.
    """
    graph = check_graph(graph)
    points = check_points("points", points)
    n = graph.shape[0]
    if len(points) != n:
        raise InputError(f"points: expected one row for each of the {n} nodes, found {len(points)}; pass the same set.")
    count, labels = connected_components(graph, directed=False)
    tree = cKDTree(points)
    senders, receivers, lengths = _edges(graph)
    bridges: list[tuple[float, int, int]] = []
    while count > 1:
        parts = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
        # Any component's shortest way out is a bridge, so the large ones, slow to search, wait for the small.
        by_size = sorted(parts, key=len)
        found = [
            _nearest_outside(points, tree, labels, part)
            for part in by_size[:-1]
            if len(part) <= len(by_size[(count - 1) // 2])
        ]
        joined = DisjointSet(range(count))
        # Equal lengths can close a ring of components; in sorted order the edge that would close it is left out.
        bridges += [edge for edge in sorted(found) if joined.merge(int(labels[edge[1]]), int(labels[edge[2]]))]
        roots, of_component = np.unique([joined[c] for c in range(count)], return_inverse=True)
        count, labels = len(roots), of_component[labels]
    added = np.array([(i, j) for _, i, j in bridges], dtype=np.int64).reshape(-1, 2)
    return _symmetric(
        n,
        np.concatenate([senders, added[:, 0]]),
        np.concatenate([receivers, added[:, 1]]),
        np.concatenate([lengths, [length for length, _, _ in bridges]]),
    )


def largest_component(graph: csr_array) -> Int[np.ndarray, " c"]:
    """Nodes of the largest connected component, sorted; of equally large ones, that of the smallest node.

    Raises:
        InputError: What `check_graph` refuses.
    """
    _, labels = connected_components(check_graph(graph), directed=False)
    first = np.argmax(np.bincount(labels)[labels])
    return np.flatnonzero(labels == labels[first])


def edges(graph: csr_array) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Every undirected edge once: senders (m,) and receivers (m,), sender < receiver, sorted by sender, then receiver.

    Raises:
        InputError: What `check_graph` refuses.
    """
    senders, receivers, _ = _edges(check_graph(graph))
    return senders, receivers


def reweight(graph: csr_array, lengths: Float[np.ndarray, " m"]) -> csr_array:
    """The same edges with other lengths.

    Args:
        graph: Symmetric graph (n, n) with m undirected edges.
        lengths: (m,), finite and >= 0, in the order of `edges(graph)`; those below MIN_LENGTH are raised to it.

    Returns:
        Symmetric graph (n, n) in float64, of the same pattern.

    Raises:
        InputError: What `check_graph` refuses; a wrong number of lengths; NaN, infinite or negative lengths.
    """
    graph = check_graph(graph)
    senders, receivers, _ = _edges(graph)
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
    return _symmetric(graph.shape[0], senders, receivers, lengths)


def check_graph(graph: csr_array) -> csr_array:
    """The public door of everything that takes a graph.

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
    graph = csr_array(graph, dtype=np.float64)
    if not graph.has_sorted_indices:
        graph = graph.sorted_indices()
    senders, receivers, lengths = _senders(graph), graph.indices, graph.data
    twice = np.zeros(graph.nnz, dtype=bool)
    twice[1:] = (senders[1:] == senders[:-1]) & (receivers[1:] == receivers[:-1])
    for bad, expected, remedy in (
        (~np.isfinite(lengths), "finite lengths", "mend what measured it"),
        (lengths <= 0, "lengths > 0", f"raise zeros to MIN_LENGTH = {MIN_LENGTH:g} and mend negative ones"),
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
    if one_way.nnz:
        i, j = int(one_way.row[0]), int(one_way.col[0])
        raise InputError(
            f"graph: expected the same length in both directions, found {graph[i, j]:g} from node {i} to node {j} and "
            f"{graph[j, i]:g} back (0 means no edge); store both directions with one length."
        )
    return graph


def _senders(graph: csr_array) -> Int[np.ndarray, " nnz"]:
    """Row of every stored entry."""
    return np.repeat(np.arange(graph.shape[0], dtype=graph.indices.dtype), np.diff(graph.indptr))


def _edges(graph: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Senders, receivers and lengths of the undirected edges of a checked graph."""
    senders = _senders(graph)
    once = senders < graph.indices
    return senders[once], graph.indices[once], graph.data[once]


def _symmetric(n: int, senders: np.ndarray, receivers: np.ndarray, lengths: np.ndarray) -> csr_array:
    """Graph of arcs that may name an edge once or twice, in any direction: the shorter counts, floored."""
    # By sorted keys and not G.maximum(G.T), which would drop the zeros between copies before they can be floored.
    keys = np.minimum(senders, receivers).astype(np.int64) * n + np.maximum(senders, receivers)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    index_dtype = np.int32 if max(n, 2 * len(starts)) <= np.iinfo(np.int32).max else np.int64  # scipy's paths want 32
    low, high = (ends.astype(index_dtype) for ends in np.divmod(keys[order[starts]], n))
    shortest = np.minimum.reduceat(lengths[order], starts) if len(starts) else np.zeros(0)
    shortest = np.maximum(shortest, MIN_LENGTH)
    pairs = (np.concatenate([low, high]), np.concatenate([high, low]))
    graph = csr_array((np.concatenate([shortest, shortest]), pairs), shape=(n, n))
    graph.sort_indices()
    return graph


def _nearest_outside(
    points: np.ndarray, tree: cKDTree, labels: np.ndarray, members: np.ndarray
) -> tuple[float, int, int]:
    """Length, inner and outer node of the shortest Euclidean edge that leaves a component."""
    if len(members) > _SMALL_COMPONENT:
        return _nearest_of_complement(points, members)
    lengths, nodes = tree.query(points[members], k=len(members) + 1)
    first = np.argmax(labels[nodes] != labels[members[0]], axis=1)  # neighbours come nearest first
    leaving = lengths[np.arange(len(members)), first]
    row = int(np.argmin(leaving))
    return float(leaving[row]), int(members[row]), int(nodes[row, first[row]])


def _nearest_of_complement(points: np.ndarray, members: np.ndarray) -> tuple[float, int, int]:
    """The same for a large component, by a tree of the points outside it."""
    outside = np.setdiff1d(np.arange(len(points)), members, assume_unique=True)
    tree = cKDTree(points[outside])
    # Far from its points a tree is slow without a bound, so those come first that are likely to give a short one.
    _, facing = tree.query(points[members].mean(axis=0))
    members = members[np.argsort(np.linalg.norm(points[members] - points[outside[facing]], axis=1), kind="stable")]
    best = (np.inf, -1, -1)
    start = 0
    while start < len(members):
        rows = members[start : 2 * start + 1]
        lengths, nearest = tree.query(points[rows], distance_upper_bound=best[0], workers=-1)
        row = int(np.argmin(lengths))
        if lengths[row] < best[0]:
            best = (float(lengths[row]), int(rows[row]), int(outside[nearest[row]]))
        start += len(rows)
    return best
