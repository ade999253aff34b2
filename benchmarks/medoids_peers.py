"""Other ways to medoids of a graph: FasterPAM on the whole distance matrix, CLARA, and Voronoi iteration with exact cells."""

import time
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq.objective import Objective
from geovq.seeding import seed_medoids
from geovq.shortest import nearest_medoid

CLARA_SAMPLES = 5


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
    """Voronoi iteration (Park & Jun 2009) until no medoid moves; every node of a cell that has changed is tried exactly."""
    medoids = seed_medoids(Objective(graph, np.ones(graph.shape[0]), 1), k, np.random.default_rng(seed)).astype(
        np.int64
    )
    labels, _ = nearest_medoid(graph, medoids)
    stale = np.ones(k, dtype=bool)
    while stale.any():
        for cell, members, paths in _cells(graph, labels, stale):
            sums = dijkstra(paths, directed=True).sum(axis=1)
            current = int(np.searchsorted(members, medoids[cell]))
            best = int(np.argmin(sums))
            if sums[best] < sums[current] * (1 - 1e-12):
                medoids[cell] = members[best]
        before, (labels, _) = labels, nearest_medoid(graph, medoids)
        moved = before != labels
        stale = np.isin(np.arange(k), np.concatenate([before[moved], labels[moved]]))
    return medoids


def _cells(graph: csr_array, labels: np.ndarray, stale: np.ndarray) -> Iterator[tuple[int, np.ndarray, csr_array]]:
    """Every stale cell, its sorted nodes, and the graph inside it.

    With nodes sorted by cell the arcs inside cells are diagonal blocks, cut from the CSR arrays without a search.
    """
    n = len(labels)
    order = np.argsort(labels, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    senders = np.repeat(np.arange(n), np.diff(graph.indptr))
    inside = (labels[senders] == labels[graph.indices]) & stale[labels[senders]]
    blocks = csr_array((graph.data[inside], (rank[senders[inside]], rank[graph.indices[inside]])), shape=(n, n))
    bounds = np.searchsorted(labels[order], np.arange(len(stale) + 1))
    for cell in np.flatnonzero(stale):
        low, high = bounds[cell], bounds[cell + 1]
        indptr = blocks.indptr[low : high + 1]
        arcs = slice(indptr[0], indptr[-1])
        block = (blocks.data[arcs], blocks.indices[arcs] - low, indptr - indptr[0])
        yield int(cell), order[low:high], csr_array(block, shape=(high - low, high - low))
