"""Shortest-path k-medoids: K nodes of a graph such that every node is near one of them along the edges.

Alternates assignment and update (Park & Jun 2009, "A simple and fast algorithm for K-medoids clustering") on
shortest-path length, never holding an n x n matrix: one multi-source Dijkstra assigns all nodes, and each cell chooses
its medoid on its own subgraph.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from geovq.checks import InputError, check_finite
from geovq.graph import check_graph

Progress = Callable[[int, float], None]
"""Called with the iteration, from 0 (the seeding), and the cost after it."""

# Rounding of a sum may make a tie look like a gain: a smaller relative gain than this is none.
_MIN_GAIN = 1e-12

# Distances held at once while a cell chooses its medoid: 32 MiB.
_MAX_DISTANCES = 1 << 22


class KMedoids(NamedTuple):
    """Medoids of a graph and the cells around them.

    Attributes:
        medoids: K distinct nodes (k,), in the order in which the seeding drew their cells; a cell keeps its place.
        labels: Place in `medoids` of each node's nearest medoid (n,).
        distances: Shortest-path length from each node to its own medoid (n,), in the units of the graph.
        cost: Σ weight · distance.
        n_iter: Iterations done, each an update of the medoids followed by an assignment.
        converged: Whether the last update left every medoid where it was.
    """

    medoids: Int[np.ndarray, " k"]
    labels: Int32[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]
    cost: float
    n_iter: int
    converged: bool


def nearest_medoid(
    graph: csr_array, medoids: Int[np.ndarray, " k"], *, allow_unreachable: bool = False
) -> tuple[Int32[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nearest medoid of every node in shortest-path length, by one multi-source Dijkstra.

    Args:
        graph: Symmetric graph (n, n), lengths > 0.
        medoids: Distinct nodes (k,).
        allow_unreachable: Give nodes that no path joins to a medoid the label k, one past the last, and an infinite
            distance, instead of refusing the graph.

    Returns:
        Labels (n,), places in `medoids`, and lengths (n,) of the shortest paths. A medoid has its own label and
        distance 0. Of equally near medoids one is taken, always the same.

    Raises:
        InputError: What `check_graph` refuses; medoids that are not distinct nodes; unreachable nodes, unless allowed.
    """
    graph = check_graph(graph)
    medoids = _check_medoids(medoids, graph.shape[0])
    labels, distances = _nearest(graph, medoids)
    lost = labels == len(medoids)
    if lost.any() and not allow_unreachable:
        raise InputError(
            f"graph: expected a path from every node to a medoid, found {int(lost.sum())} nodes without one, the first "
            f"{int(np.argmax(lost))}; bridge_components first, add medoids there, or pass allow_unreachable=True."
        )
    return labels, distances


def k_medoids(
    graph: csr_array,
    k: int,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    seed: int = 0,
    max_iter: int = 100,
    exact_cell: int = 1000,
    progress: Progress | None = None,
) -> KMedoids:
    """K medoids by weighted shortest-path length: a local optimum of assigning and updating in turn.

    Seeded like k-means++ (Arthur & Vassilvitskii 2007), but by weight x length, not squared: the cost is a sum of
    lengths. In each update a cell takes the node with the least weighted sum of lengths to the others along paths
    inside the cell, and keeps its medoid in a tie. The cost never rises, and the K medoids stay distinct.

    Args:
        graph: Connected symmetric graph (n, n), lengths > 0.
        k: Number of medoids, 1 <= k <= n.
        weights: Multiplicity of each node (n,), finite, >= 0 and not all 0; None for one each.
        seed: The same seed gives the same result.
        max_iter: At most this many updates, >= 1.
        exact_cell: Cells of more nodes than this try only so many candidates, the current medoid and a random sample.
        progress: Called with (0, cost of the seeding), then with (iteration, cost) after every iteration.

    Returns:
        Medoids, and the labels, distances and cost that one last assignment gives them.

    Raises:
        InputError: What `check_graph` refuses; a graph that is not connected; k, max_iter, exact_cell or weights
            outside the ranges above.
    """
    graph = check_graph(graph)
    n = graph.shape[0]
    _check_connected(graph)
    _check_range("k", k, 1, n, "ask for fewer medoids or give more nodes")
    _check_range("max_iter", max_iter, 1, None, "allow at least one update")
    _check_range("exact_cell", exact_cell, 1, None, "allow at least the current medoid")
    weights = _check_weights(weights, n)
    rng = np.random.default_rng(seed)

    medoids = _seed(graph, k, weights, rng)
    labels, distances = _nearest(graph, medoids)
    stale = np.ones(k, dtype=bool)
    converged, n_iter = False, 0
    if progress is not None:
        progress(0, _cost(weights, distances))
    while not converged and n_iter < max_iter:
        updated = _update(graph, medoids, labels, weights, stale, exact_cell, rng)
        moved = updated != medoids
        converged = not moved.any()
        medoids, previous = updated, labels
        labels, distances = _nearest(graph, medoids)
        sampled = np.bincount(labels, minlength=k) > exact_cell
        stale = _changed_cells(previous, labels, k) | (moved & sampled)  # a sample that found better may find more
        n_iter += 1
        if progress is not None:
            progress(n_iter, _cost(weights, distances))
    labels, distances = _nearest(graph, medoids)
    return KMedoids(medoids, labels, distances, _cost(weights, distances), n_iter, converged)


def _check_medoids(medoids: np.ndarray, n: int) -> Int[np.ndarray, " k"]:
    medoids = np.asarray(medoids)
    if medoids.ndim != 1 or medoids.size == 0 or not np.issubdtype(medoids.dtype, np.integer):
        raise InputError(
            f"medoids: expected a non-empty array (k,) of integers, found {medoids.dtype} of shape {medoids.shape}; "
            "pass the indices of nodes."
        )
    if medoids.min() < 0 or medoids.max() >= n or len(np.unique(medoids)) < len(medoids):
        raise InputError(
            f"medoids: expected distinct nodes in 0..{n - 1}, found {len(np.unique(medoids))} distinct of "
            f"{len(medoids)}, in {medoids.min()}..{medoids.max()}; drop repeats and those outside."
        )
    return medoids


def _check_connected(graph: csr_array) -> None:
    count, labels = connected_components(graph, directed=False)
    if count > 1:
        raise InputError(
            f"graph: expected one connected component, found {count}, the largest of {np.bincount(labels).max()} of "
            f"{len(labels)} nodes; join them by bridge_components, or keep the nodes of largest_component."
        )


def _check_range(name: str, value: int, low: int, high: int | None, remedy: str) -> None:
    if value < low or (high is not None and value > high):
        wanted = f">= {low}" if high is None else f"in {low}..{high}"
        raise InputError(f"{name}: expected {wanted}, found {value}; {remedy}.")


def _check_weights(weights: np.ndarray | None, n: int) -> Float[np.ndarray, " n"]:
    if weights is None:
        return np.ones(n)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one for each node, found {weights.shape}; pass one a node.")
    check_finite("weights", weights)
    if (weights < 0).any() or not weights.any():
        raise InputError(
            f"weights: expected values >= 0 and some > 0, found values in [{weights.min():g}, {weights.max():g}]; "
            "pass how often each node occurs."
        )
    return weights


def _nearest(graph: csr_array, medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label and distance of every node; unreachable ones get len(medoids) and infinity."""
    distances, _, sources = dijkstra(graph, directed=True, indices=medoids, min_only=True, return_predecessors=True)
    place = np.full(graph.shape[0] + 1, len(medoids), dtype=np.int32)
    place[medoids] = np.arange(len(medoids))
    return place[np.where(sources < 0, graph.shape[0], sources)], distances


def _cost(weights: np.ndarray, distances: np.ndarray) -> float:
    """Σ weight · distance, correctly rounded: a sum in another order could seem to rise when nothing did."""
    return math.fsum((weights * distances).tolist())


def _seed(graph: csr_array, k: int, weights: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
    """First medoids, each drawn in proportion to weight times length to the nearest one before it."""
    medoids = np.empty(k, dtype=np.int64)
    medoids[0] = rng.choice(len(weights), p=weights / weights.sum())
    _, distances = _nearest(graph, medoids[:1])
    for place in range(1, k):
        scores = weights * distances
        if not scores.any():
            scores = distances  # every node of weight is a medoid already, so the rest cost nothing wherever they lie
        medoids[place] = rng.choice(len(weights), p=scores / scores.sum())
        _shorten(graph, distances, medoids[place])
    return medoids


def _shorten(graph: csr_array, distances: np.ndarray, medoid: int) -> None:
    """Lowers `distances`, in place, to what one more medoid gives.

    Label-correcting search that stops where the new medoid is not nearer: the nodes that it wins are joined to it by
    nodes that it wins, so the work is that of its own cell and not of the graph.
    """
    distances[medoid] = 0
    front = np.array([medoid])
    while len(front):
        starts, degrees = graph.indptr[front], graph.indptr[front + 1] - graph.indptr[front]
        offsets = np.arange(degrees.sum()) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        arcs = np.repeat(starts, degrees) + offsets
        lengths = np.repeat(distances[front], degrees) + graph.data[arcs]
        nodes = graph.indices[arcs]
        shorter = lengths < distances[nodes]
        np.minimum.at(distances, nodes[shorter], lengths[shorter])
        front = np.unique(nodes[shorter])


def _update(
    graph: csr_array,
    medoids: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    stale: np.ndarray,
    exact_cell: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " k"]:
    """Medoids after each stale cell has chosen again; cells are disjoint, so medoids stay distinct."""
    updated = medoids.copy()
    for cell, members, paths in _cells(graph, labels, stale):
        current = int(np.searchsorted(members, medoids[cell]))
        candidates = np.delete(np.arange(len(members)), current)
        if len(members) > exact_cell:
            candidates = rng.choice(candidates, size=exact_cell - 1, replace=False)
        candidates = np.concatenate([[current], candidates])  # first, for a tie to keep it
        updated[cell] = members[_best_candidate(paths, weights[members], candidates)]
    return updated


def _cells(
    graph: csr_array, labels: np.ndarray, stale: np.ndarray
) -> Iterator[tuple[int, Int[np.ndarray, " s"], csr_array]]:
    """Every stale cell, its sorted nodes, and the graph (s, s) of the arcs inside it.

    With nodes sorted by cell the arcs inside cells are diagonal blocks, cut from the CSR arrays without a search.
    """
    n = len(labels)
    order = np.argsort(labels, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    senders = np.repeat(np.arange(n), np.diff(graph.indptr))
    inside = (labels[senders] == labels[graph.indices]) & stale[labels[senders]]
    pairs = (rank[senders[inside]], rank[graph.indices[inside]])
    blocks = csr_array((graph.data[inside], pairs), shape=(n, n))
    bounds = np.searchsorted(labels[order], np.arange(len(stale) + 1))
    for cell in np.flatnonzero(stale):
        low, high = bounds[cell], bounds[cell + 1]
        indptr = blocks.indptr[low : high + 1]
        arcs = slice(indptr[0], indptr[-1])
        block = (blocks.data[arcs], blocks.indices[arcs] - low, indptr - indptr[0])
        yield int(cell), order[low:high], csr_array(block, shape=(high - low, high - low))


def _best_candidate(paths: csr_array, weights: np.ndarray, candidates: np.ndarray) -> int:
    """Candidate with the least weighted sum of lengths; the first, unless another is truly better."""
    rows = max(1, _MAX_DISTANCES // len(weights))
    sums = np.concatenate(
        [
            dijkstra(paths, directed=True, indices=candidates[start : start + rows]) @ weights
            for start in range(0, len(candidates), rows)
        ]
    )
    best = int(np.argmin(sums))
    return int(candidates[best if sums[best] < sums[0] * (1 - _MIN_GAIN) else 0])


def _changed_cells(previous: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Cells that a node has entered or left."""
    moved = previous != labels
    changed = np.zeros(k, dtype=bool)
    changed[previous[moved]] = True
    changed[labels[moved]] = True
    return changed
