"""The graphs that `benchmarks.medoids` works on: latents of a VAE with pullback lengths, and a mixture with Euclidean ones."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from geovq.batching.run import DEFAULT_PLAN
from geovq.decoder.adapters import Decoder
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, neighbour_graph, reweight
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.metric.batched import token_metrics
from geovq.metric.edge_lengths import measure_edges

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
    """Every token of the grids under its own sketched metric."""
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
