"""How good are edge lengths from cached metrics? For `benchmarks.geometry`.

The truth is the decoded polyline of 64 segments, walked in the context of either end; the errors are those of the trapezoid rule
and of refined lengths.
"""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.common.resampling import estimated, percentile, separation, spearman
from benchmarks.common.rows import Row, number_row
from geovq.decoder.adapters import Decoder
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, knn_graph, reweight
from geovq.graph.deduplicate import merge_duplicates
from geovq.metric.curve_lengths import polyline_lengths, refine_lengths
from geovq.metric.edge_lengths import measure_edges

NEIGHBOURS = 16
EDGES = 2_000
SEGMENTS = 64
TOLERANCE = 0.02
AT_MOST = 32
FLAGGED = 0.25
"""Part of the edges, those with the largest indicator, that the cheap refinement decodes."""
SMALL_GRAPH_IMAGES = 64
PAIRS = 200


class Measured(NamedTuple):
    """Tokens of grids, joined to their neighbours; copies are one node, of which the first token stands for all."""

    grids: Float[np.ndarray, "n h w d"]
    metrics: Float[np.ndarray, "t d d"]
    graph: csr_array
    tokens: Int[np.ndarray, " m"]
    """Token that each node is."""

    @property
    def z(self) -> Float[np.ndarray, "t d"]:
        """All tokens."""
        return self.grids.reshape(-1, self.grids.shape[-1])

    def ends(self) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
        """Tokens that the graph's edges join."""
        senders, receivers = edges(self.graph)
        return self.tokens[senders], self.tokens[receivers]


def joined(grids: np.ndarray, metrics: np.ndarray) -> Measured:
    """The measured graph of tokens: Euclidean nearest neighbours, components bridged."""
    d = grids.shape[-1]
    merged = merge_duplicates(grids.reshape(-1, d))
    _, first = np.unique(merged.index, return_index=True)
    graph = bridge_components(knn_graph(merged.points, NEIGHBOURS), merged.points)
    return Measured(grids, metrics.reshape(-1, d, d), graph, first)


def study(decode: Decoder, grids: np.ndarray, metrics: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question."""
    measured = joined(grids, metrics)
    return [*of_edges(decode, measured, seed), *of_distances(decode, grids, metrics, seed)]


def indicators(measured: Measured, senders: np.ndarray, receivers: np.ndarray) -> dict[str, np.ndarray]:
    """What might tell bad edges and costs nothing: how much the lengths at either end differ, and the length itself."""
    steps = measured.z[receivers] - measured.z[senders]
    squares = [np.einsum("ei,eij,ej->e", steps, measured.metrics[ends], steps) for ends in (senders, receivers)]
    a, b = (np.sqrt(np.maximum(square, 0)) for square in squares)
    return {"difference of the ends": np.abs(a - b) / np.maximum(a + b, 1e-9), "length": a + b}


def flagged(indicator: np.ndarray) -> np.ndarray:
    """The edges that the cheap refinement decodes."""
    return indicator >= np.quantile(indicator, 1 - FLAGGED)


def of_edges(decode: Decoder, measured: Measured, seed: int) -> list[Row]:
    """Errors of single edges."""
    rng = np.random.default_rng(seed)
    senders, receivers = measured.ends()
    total = len(senders)
    chosen = np.sort(rng.permutation(total)[:EDGES])
    senders, receivers = senders[chosen], receivers[chosen]
    truth = polyline_lengths(decode, measured.grids, senders, receivers, segments=SEGMENTS)
    quarter = polyline_lengths(decode, measured.grids, senders, receivers, segments=SEGMENTS // 4)
    print(f"edges: {len(truth)} of {total} decoded in {SEGMENTS} segments", flush=True)
    fields: Row = {"case": "edges", "k": NEIGHBOURS, "nodes": measured.graph.shape[0], "edges": total}
    trapezoid = measure_edges(measured.z, measured.metrics, senders, receivers)
    error = np.abs(trapezoid / truth - 1)
    refine_lengths(
        decode, measured.grids, senders[:9], receivers[:9], tolerance=1e-9, max_segments=AT_MOST
    )  # compiles every level
    started = time.perf_counter()
    refined = refine_lengths(decode, measured.grids, senders, receivers, tolerance=TOLERANCE, max_segments=AT_MOST)
    seconds = time.perf_counter() - started
    decoded = _images(refined.segments)
    every = {**fields, "refined": "all"}
    rows = [
        *errors_of({**fields, "refined": "none"}, trapezoid, truth),
        *errors_of(every, refined.lengths, truth),
        number_row(every, "seconds_per_edge", seconds / len(truth), len(truth)),
        number_row(every, "images_per_edge", decoded.mean(), len(truth)),
        number_row(every, "converged", refined.converged.mean(), len(truth)),
        estimated({**fields, "segments": SEGMENTS // 4}, "error_median", _median_size, quarter / truth - 1),
    ]
    for name, indicator in indicators(measured, senders, receivers).items():
        chosen, bad = flagged(indicator), error > TOLERANCE
        of = {**fields, "refined": "flagged", "indicator": name}
        rows += [
            *errors_of(of, np.where(chosen, refined.lengths, trapezoid), truth),
            number_row(of, "images_per_edge", (decoded * chosen).mean(), len(truth)),
            estimated(of, "indicator_spearman", spearman, indicator, error),
            estimated(of, "indicator_separation", separation, indicator, bad),
            number_row(of, "bad_edges_flagged", (bad & chosen).sum() / max(1, bad.sum()), int(bad.sum())),
        ]
    return rows


def errors_of(fields: Row, lengths: np.ndarray, truth: np.ndarray) -> list[Row]:
    """Relative errors."""
    errors = lengths / truth - 1
    return [
        estimated(fields, "error_median", _median_size, errors),
        estimated(fields, "error_p95", lambda e: float(np.percentile(np.abs(e), 95)), errors),
        estimated(fields, "bias_median", percentile(50), errors),
        estimated(fields, "bias_mean", np.mean, errors),
        estimated(fields, "bias_of_sum", lambda a, b: float(a.sum() / b.sum() - 1), lengths, truth),
        estimated(fields, "above_tolerance", lambda e: float((np.abs(e) > TOLERANCE).mean()), errors),
    ]


def _median_size(errors: np.ndarray) -> float:
    return float(np.median(np.abs(errors)))


def _images(segments: np.ndarray) -> np.ndarray:
    """Images that an edge's refinement decodes: 2 walks of s + 1 points for s = 1, 2, 4, … up to its segments."""
    levels = np.log2(segments).astype(int) + 1
    return 2 * (2 * segments - 1 + levels)


def of_distances(decode: Decoder, grids: np.ndarray, metrics: np.ndarray, seed: int) -> list[Row]:
    """What refined edges change in the distances of a smaller graph, all of whose edges can be refined."""
    measured = joined(grids[:SMALL_GRAPH_IMAGES], metrics[:SMALL_GRAPH_IMAGES])
    senders, receivers = measured.ends()
    trapezoid = measure_edges(measured.z, measured.metrics, senders, receivers)
    refined = refine_lengths(
        decode, measured.grids, senders, receivers, tolerance=TOLERANCE, max_segments=AT_MOST
    ).lengths
    print(f"edges: all {len(refined)} of a smaller graph refined", flush=True)
    m = measured.graph.shape[0]
    pairs = np.random.default_rng(seed).permutation(m)[: 2 * PAIRS].reshape(-1, 2)

    def distances(lengths: np.ndarray) -> np.ndarray:
        graph = reweight(measured.graph, lengths)
        return dijkstra(graph, indices=pairs[:, 0])[np.arange(PAIRS), pairs[:, 1]]

    truth = distances(refined)
    fields: Row = {"case": "refined distances", "k": NEIGHBOURS, "nodes": m, "edges": len(refined)}
    rows = []
    ways = {None: trapezoid} | {
        name: np.where(flagged(indicator), refined, trapezoid)
        for name, indicator in indicators(measured, senders, receivers).items()
    }
    for name, lengths in ways.items():
        found = distances(lengths)
        of = {**fields, "refined": "flagged" if name else "none", "indicator": name}
        rows += [
            estimated(of, "ratio_median", percentile(50), found / truth),
            estimated(of, "ratio_p5", percentile(5), found / truth),
            estimated(of, "ratio_p95", percentile(95), found / truth),
            estimated(of, "spearman", spearman, found, truth),
        ]
    return rows
