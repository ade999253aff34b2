"""Shortest paths from many nodes at once: the nearest medoid of every node in one pass."""

import functools
import types
import warnings
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq.graph.csr import AnyGraph, check_graph
from geovq.validation import InputError

if TYPE_CHECKING:
    from geovq.medoids.kernels import Arcs


@functools.cache
def compiled() -> types.ModuleType | None:
    """`geovq.medoids.kernels`, or None and one warning where numba is not installed."""
    try:
        from geovq.medoids import kernels as searches
    except ImportError as error:
        warnings.warn(
            f"numba is not installed: SciPy alone searches for medoids, without swaps, which costs quality and time ({error}).",
            stacklevel=2,
        )
        return None
    return searches


def nearest_medoid(
    graph: AnyGraph, medoids: Int[np.ndarray, " k"], *, allow_unreachable: bool = False
) -> tuple[Int32[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nearest medoid of every node in shortest-path length, by one multi-source Dijkstra.

    Args:
        graph: Symmetric graph (n, n), lengths > 0.
        medoids: Distinct nodes (k,).
        allow_unreachable: Give nodes that no path joins to a medoid the label k, one past the last, and an infinite
            distance, instead of refusing the graph.

    Returns:
        Labels (n,), places in `medoids`, and lengths (n,) of the shortest paths. A medoid has its own label and
        distance 0. Of equally near medoids that of the smallest node is taken (without numba any, but always the same).

    Raises:
        InputError: What `check_graph` refuses; medoids that are not distinct nodes; unreachable nodes, unless allowed.
    """
    graph = check_graph(graph)
    medoids = check_medoids(medoids, graph.shape[0])
    near, distances = nearest(graph, medoids)
    labels = labels_of(medoids, near)
    lost = labels == len(medoids)
    if lost.any() and not allow_unreachable:
        raise InputError(
            f"graph: expected a path from every node to a medoid, found {int(lost.sum())} nodes without one, the first "
            f"{int(np.argmax(lost))}; bridge_components first, add medoids there, or pass allow_unreachable=True."
        )
    return labels, distances


def check_medoids(medoids: Int[np.ndarray, " k"], n: int) -> Int[np.ndarray, " k"]:
    """Distinct nodes of a graph of n, as an array.

    Raises:
        InputError: Not a non-empty list of integers, nodes outside 0..n-1, or a node twice.
    """
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


def nearest(graph: csr_array, sources: np.ndarray) -> tuple[Int32[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Node of the nearest source of every node of a checked graph, and how far it is; -1 and infinity without a path."""
    searches = compiled()
    n = graph.shape[0]
    if searches is None:
        distances, _, near = dijkstra(graph, directed=True, indices=sources, min_only=True, return_predecessors=True)
        return np.maximum(near, -1).astype(np.int32), distances
    near, distances = np.empty(n, np.int32), np.empty(n)
    searches.nearest(arcs(graph), np.asarray(sources, np.int32), near, distances, searches.new_work(n))
    return near, distances


def arcs(graph: csr_array) -> "Arcs":
    """The graph as `geovq.medoids.kernels` takes it."""
    from geovq.medoids import kernels as searches

    return searches.Arcs(graph.indptr, graph.indices, graph.data)


def labels_of(medoids: Int[np.ndarray, " k"], near: Int[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Place in `medoids` of the node of each node's nearest medoid; k where it is -1."""
    place = np.full(len(near) + 1, len(medoids), dtype=np.int32)
    place[medoids] = np.arange(len(medoids))
    return place[near]
