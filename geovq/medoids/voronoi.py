"""Sampled Voronoi iteration: every cell chooses a better medoid, all cells at once, in a few passes over the graph.

With the arcs between cells removed, one pass from one node in each cell finds the distances from all these nodes to the nodes of
their own cells. So a few passes from random nodes, the references, rank all nodes of all cells as medoids, and a few more from
the best ranked find what they truly cost. A cell of no more nodes than there are references is searched exactly.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from geovq.medoids.cost import MIN_GAIN, Objective
from geovq.medoids.nearest import labels_of, nearest

CANDIDATES = 4
"""Best ranked nodes of a cell whose true cost is computed."""

REFERENCES = 8
"""Nodes of a cell that rank the others, at least."""

# Small graphs can afford more references: as many as make no more work than this, in arcs.
_CHEAP = 10_000_000

# Rounds without a better medoid after which one is not looked for any more, where references are only a sample.
_QUIET = 3


class Settled(NamedTuple):
    """Medoids after rounds of Voronoi iteration.

    Attributes:
        medoids: Distinct nodes (k,).
        n_rounds: Rounds.
        converged: Whether no cell has a better medoid: in the last round, or, where references were sampled, in the last three.
    """

    medoids: Int[np.ndarray, " k"]
    n_rounds: int
    converged: bool


def voronoi(
    objective: Objective,
    medoids: Int[np.ndarray, " k"],
    rng: np.random.Generator,
    worthwhile: float,
    ends: float,
    progress: Callable[[int, float], None],
) -> Settled:
    """Rounds of choosing a medoid in each cell and drawing the cells anew, until no medoid moves.

    Args:
        objective: On n nodes.
        medoids: Distinct nodes (k,).
        rng: Draws the references.
        worthwhile: Ends where a round gains no more than this share of the cost, too.
        ends: No round begins after this time, of `time.monotonic`.
        progress: Called with the round and the cost after it.

    Returns:
        Medoids of no greater cost.
    """
    near, distances = nearest(objective.graph, medoids)
    cost, rounds, quiet = objective.cost(distances), 0, 0
    while quiet < _QUIET and time.monotonic() < ends:
        updated, exact = update(objective, medoids, labels_of(medoids, near), distances, rng)
        rounds += 1
        if (updated == medoids).all():
            quiet += _QUIET if exact else 1
            continue
        before, medoids, quiet = cost, updated, 0
        near, distances = nearest(objective.graph, medoids)
        cost = objective.cost(distances)
        progress(rounds, cost)
        if before - cost < worthwhile * before:
            break
    return Settled(medoids, rounds, quiet >= _QUIET)


def update(
    objective: Objective,
    medoids: Int[np.ndarray, " k"],
    labels: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " k"], bool]:
    """A better medoid for every cell, by what the cell's nodes cost along paths inside it.

    Args:
        objective: On n nodes.
        medoids: Distinct nodes (k,).
        labels: Place of the nearest medoid of every node (n,).
        distances: How far it is (n,).
        rng: Draws the references.

    Returns:
        Medoids (k,); a cell keeps its place, and its medoid where none that was tried is truly better. And whether every node
        was a reference.
    """
    graph, weights = objective.graph, objective.weights
    n, k = len(labels), len(medoids)
    sizes = np.bincount(labels, minlength=k)
    first = np.cumsum(sizes) - sizes
    inside = _inside(graph, labels)

    def costs(turn: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells that have so many nodes, which one it is in their order, and distances^power from it inside the cell."""
        cells = np.flatnonzero(sizes > turn)
        sources = order[first[cells] + turn]
        _, lengths = nearest(inside, sources)
        return cells, sources, np.where(np.isfinite(lengths), lengths, 0) ** objective.power

    references = min(int(sizes.max()), max(REFERENCES, _CHEAP // (graph.nnz + n)))
    with np.errstate(divide="ignore"):
        shuffled = np.lexsort((rng.exponential(size=n) / weights, labels))  # drawn in proportion to their weights
    ranks, counted = np.zeros(n), np.zeros(k)
    best, least = medoids.copy(), np.bincount(labels, objective.costs(distances), minlength=k)
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        for cells, sources, found in cores.map(lambda turn: costs(turn, shuffled), range(references)):
            counted[:] = 0
            whole = sizes[cells] <= references  # a draw has counted the weights already
            counted[cells] = np.where(whole, weights[sources], weights[sources] > 0)
            ranks += counted[labels] * found
        ranked = np.lexsort((ranks, labels))
        for cells, sources, found in cores.map(lambda turn: costs(turn, ranked), range(CANDIDATES)):
            sums = np.bincount(labels, weights * found, minlength=k)[cells]
            better = sums < least[cells] * (1 - MIN_GAIN)
            best[cells[better]], least[cells[better]] = sources[better], sums[better]
    return best, references >= sizes.max()


def _inside(graph: csr_array, labels: np.ndarray) -> csr_array:
    """The graph without the arcs between cells."""
    n = len(labels)
    senders = np.repeat(np.arange(n, dtype=graph.indices.dtype), np.diff(graph.indptr))
    kept = labels[senders] == labels[graph.indices]
    counts = np.bincount(senders[kept], minlength=n)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(graph.indptr.dtype)
    return csr_array((graph.data[kept], graph.indices[kept], indptr), shape=graph.shape)
