"""First medoids, each drawn in proportion to what its node costs under the ones before it."""

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from geovq.medoids.cost import Objective
from geovq.medoids.nearest import arcs, compiled, nearest


def seed_medoids(objective: Objective, k: int, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
    """k-means++ (Arthur & Vassilvitskii 2007) on a graph, by truncated searches: each goes no further than its own cell.

    Args:
        objective: On n nodes.
        k: Number of medoids, at most n.
        rng: Draws them, each in proportion to what the node costs.

    Returns:
        Distinct nodes (k,), int32.
    """
    graph = objective.graph
    searches = compiled()
    space = None if searches is None else searches.new_work(graph.shape[0])
    medoids = np.empty(k, dtype=np.int32)
    medoids[0] = _draw(objective.weights, rng)
    _, distances = nearest(graph, medoids[:1])
    for index in range(1, k):
        costs = objective.costs(distances)
        # Where every node of weight is a medoid already, the rest cost nothing wherever they lie.
        medoids[index] = _draw(costs if costs.any() else distances, rng)
        if searches is None:
            _shorten(graph, distances, medoids[index])
        else:
            searches.shorten(arcs(graph), distances, medoids[index], space)
    return medoids


def _draw(scores: np.ndarray, rng: np.random.Generator) -> int:
    """An index, drawn in proportion to its score; never one of score 0."""
    sums = np.cumsum(scores)
    # Rounding may bring the product up to the total.
    return int(np.searchsorted(sums, min(rng.random() * sums[-1], np.nextafter(sums[-1], 0)), side="right"))


def _shorten(graph: csr_array, distances: np.ndarray, medoid: int | np.integer) -> None:
    """`geovq.medoids.kernels.shorten` without numba: a label-correcting search that stops where the new medoid is not nearer."""
    distances[medoid] = 0
    front = np.array([medoid])
    while len(front):
        starts, degrees = graph.indptr[front], graph.indptr[front + 1] - graph.indptr[front]
        offsets = np.arange(degrees.sum()) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        reached = np.repeat(starts, degrees) + offsets
        lengths = np.repeat(distances[front], degrees) + graph.data[reached]
        nodes = graph.indices[reached]
        shorter = lengths < distances[nodes]
        np.minimum.at(distances, nodes[shorter], lengths[shorter])
        front = np.unique(nodes[shorter])
