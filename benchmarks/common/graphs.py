"""The graphs of benchmarks.medoids and benchmarks.nearest, and other ways to their medoids.

Graphs: latents of a VAE with pullback lengths, and a mixture with Euclidean lengths. Other ways: FasterPAM on the whole distance
matrix, CLARA, and Voronoi iteration with exact cells.
"""

import os
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq.batching.plan import DEFAULT_PLAN
from geovq.decoder.adapters import Decoder
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, neighbour_graph, reweight
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.medoids import kernels as searches
from geovq.medoids.cost import Objective
from geovq.medoids.nearest import arcs, nearest_medoid
from geovq.medoids.seeding import seed_medoids
from geovq.metric.batched import token_metrics
from geovq.metric.edge_lengths import measure_edges

CLARA_SAMPLES = 5

NEIGHBOURS = 16
PROBES = 32


class Measured(NamedTuple):
    """A connected graph of distinct points."""

    points: np.ndarray
    weights: np.ndarray
    graph: csr_array
    seconds: dict[str, float]
    """What each stage took."""
    recall: float
    """Of the neighbours."""
    bridges: int


def of_latents(decode: Decoder, grids: np.ndarray) -> Measured:
    """Every token of the grids, with its own sketched metric."""
    return connect(
        grids.reshape(-1, grids.shape[-1]), lambda: token_metrics(decode, grids, probes=PROBES, plan=DEFAULT_PLAN)
    )


def of_mixture(n: int) -> Measured:
    """Points of 100 Gaussians of unequal sizes and widths in 8 dimensions."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(100))
    centres, widths = 3 * rng.normal(size=(100, 8)), rng.uniform(0.3, 1.5, size=100)
    label = rng.choice(100, n, p=shares)
    return connect((centres[label] + widths[label, None] * rng.normal(size=(n, 8))).astype(np.float32), None)


def connect(points: np.ndarray, measure: Callable[[], np.ndarray] | None) -> Measured:
    """`geovq.geometry.measured.connect` stage by stage; Euclidean lengths where there is nothing to measure others with."""
    seconds: dict[str, float] = {}

    def timed(stage: str, started: float) -> None:
        seconds[stage] = time.perf_counter() - started

    started = time.perf_counter()
    metrics = None if measure is None else measure()
    timed("metrics", started)
    started = time.perf_counter()
    merged = merge_duplicates(points)
    timed("duplicates", started)
    started = time.perf_counter()
    found = nearest_neighbours(merged.points, NEIGHBOURS)
    graph = neighbour_graph(found)
    timed("neighbours", started)
    started = time.perf_counter()
    unbridged, graph = graph.nnz, bridge_components(graph, merged.points)
    timed("bridges", started)
    if metrics is not None:
        started = time.perf_counter()
        d = points.shape[1]
        of_nodes = group_means(metrics.reshape(-1, d * d), merged).reshape(-1, d, d)
        graph = reweight(graph, measure_edges(merged.points, of_nodes, *edges(graph)))
        timed("lengths", started)
    return Measured(merged.points, merged.weights, graph, seconds, found.recall, (graph.nnz - unbridged) // 2)


def matrix(graph: csr_array) -> tuple[np.ndarray, float]:
    """All shortest paths (n, n) in float32, and the seconds that they took."""
    started = time.perf_counter()
    return dijkstra(graph, directed=True).astype(np.float32), time.perf_counter() - started


def fasterpam(distances: np.ndarray, k: int, seed: int) -> np.ndarray:
    """FasterPAM of the package kmedoids from random medoids, its default, on all cores."""
    import kmedoids

    return kmedoids.fasterpam(distances, k, init="random", random_state=seed, n_cpu=-1).medoids.astype(np.int64)


def clara(graph: csr_array, k: int, seed: int) -> np.ndarray:
    """CLARA (Kaufman & Rousseeuw 1990): FasterPAM on samples of 40 + 2 k nodes; the best on the whole graph of five."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(CLARA_SAMPLES):
        sample = rng.choice(graph.shape[0], 40 + 2 * k, replace=False)
        rows = [
            dijkstra(graph, directed=True, indices=sample[i : i + 64])[:, sample] for i in range(0, len(sample), 64)
        ]
        medoids = sample[fasterpam(np.concatenate(rows).astype(np.float32), k, seed)]
        found.append((nearest_medoid(graph, medoids)[1].sum(), medoids))
    return min(found, key=lambda one: one[0])[1]


def voronoi(graph: csr_array, k: int, seed: int) -> np.ndarray:
    """Voronoi iteration (Park & Jun 2009) until no medoid moves: every node of a cell that has changed is tried, on all cores."""
    n = graph.shape[0]
    medoids = seed_medoids(Objective(graph, np.ones(n), 1), k, np.random.default_rng(seed)).astype(np.int64)
    labels, _ = nearest_medoid(graph, medoids)
    stale = np.ones(k, dtype=bool)
    workers = queue.SimpleQueue[tuple]()
    for _ in range(os.cpu_count() or 1):
        workers.put((np.full(n, np.inf), searches.new_work(n)))

    def best_of(inside: csr_array, cell: int, members: np.ndarray) -> int:
        reach, space = workers.get()
        sums = np.empty(len(members))
        _sums_in_cell(arcs(inside), members, reach, space, sums)
        workers.put((reach, space))
        best, current = int(np.argmin(sums)), int(np.searchsorted(members, medoids[cell]))
        return int(members[best if sums[best] < sums[current] * (1 - 1e-12) else current])

    with ThreadPoolExecutor(os.cpu_count()) as cores:
        while stale.any():
            stored = graph.tocoo()
            kept = labels[stored.row] == labels[stored.col]
            inside = csr_array((stored.data[kept], (stored.row[kept], stored.col[kept])), shape=graph.shape)
            order = np.argsort(labels, kind="stable").astype(np.int32)
            cells = np.split(order, np.searchsorted(labels[order], np.arange(1, k)))
            changed = np.flatnonzero(stale)
            medoids[changed] = list(cores.map(lambda cell: best_of(inside, cell, cells[cell]), changed))  # noqa: B023
            before, (labels, _) = labels, nearest_medoid(graph, medoids)
            moved = before != labels
            stale = np.isin(np.arange(k), np.concatenate([before[moved], labels[moved]]))
    return medoids


@njit(nogil=True)
def _sums_in_cell(graph, members, reach, space, sums):
    """Sum of the distances from each member of a cell to all of them; `reach` is infinite before and after."""
    for i in range(len(members)):
        searches.shorten(graph, reach, members[i], space)
        sums[i] = 0.0
        for u in members:
            sums[i] += reach[u]
            reach[u] = np.inf
