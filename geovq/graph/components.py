"""Components of a graph joined by the shortest edges between them."""

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from geovq.graph.csr import AnyGraph, check_graph, join, undirected
from geovq.validation import InputError, check_points

# Up to this size a component asks the tree of all points for size + 1 neighbours, one of which must lie outside it.
_SMALL_COMPONENT = 64


def bridge_components(graph: AnyGraph, points: Float[np.ndarray, "n d"]) -> csr_array:
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
    senders, receivers, lengths = undirected(graph)
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
    return join(
        n,
        np.concatenate([senders, added[:, 0]]),
        np.concatenate([receivers, added[:, 1]]),
        np.concatenate([lengths, [length for length, _, _ in bridges]]),
    )


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
