"""How good are edge lengths from cached metrics, and what does a metric depend on? Two studies of `benchmarks.geometry`.

Edges: the truth is the decoded polyline of 64 segments, walked in the context of either end; the errors are those of the
trapezoid rule and of refined lengths. Variance: a crossed design puts every token at every position of every context. The sum of
squares of G around its mean (Frobenius) is divided into main effects and interactions, as in an analysis of variance without
repeats.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.common.rows import Row, percentile, row, separation, spearman, statistic_row
from geovq.batching.chunks import map_chunks
from geovq.batching.plan import settle
from geovq.decoder.adapters import Decoder, as_partial, in_context
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, knn_graph, reweight
from geovq.graph.deduplicate import merge_duplicates
from geovq.metric.curve_lengths import polyline_lengths, refine_lengths
from geovq.metric.edge_lengths import measure_edges
from geovq.metric.pullback import pullback_metric

NEIGHBOURS = 16
EDGES = 2_000
SEGMENTS = 64
TOLERANCE = 0.02
MAX_SEGMENTS = 32
FLAGGED = 0.25
"""Part of the edges, those with the largest indicator, that the cheap refinement decodes."""
SMALL_GRAPH_IMAGES = 64
PAIRS = 200
TOKENS = 24
CONTEXTS = 24
"""Of the crossed design."""


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


def join(grids: np.ndarray, metrics: np.ndarray) -> Measured:
    """The measured graph of tokens: Euclidean nearest neighbours, components bridged."""
    d = grids.shape[-1]
    merged = merge_duplicates(grids.reshape(-1, d))
    _, first = np.unique(merged.index, return_index=True)
    graph = bridge_components(knn_graph(merged.points, NEIGHBOURS), merged.points)
    return Measured(grids, metrics.reshape(-1, d, d), graph, first)


def study_edges(decode: Decoder, grids: np.ndarray, metrics: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question."""
    measured = join(grids, metrics)
    return [*of_edges(decode, measured, seed), *of_distances(decode, grids, metrics, seed)]


def indicators(measured: Measured, senders: np.ndarray, receivers: np.ndarray) -> dict[str, np.ndarray]:
    """What might tell bad edges and costs nothing: how much the lengths at either end differ, and the length itself."""
    steps = measured.z[receivers] - measured.z[senders]
    squares = [np.einsum("ei,eij,ej->e", steps, measured.metrics[ends], steps) for ends in (senders, receivers)]
    a, b = (np.sqrt(np.maximum(square, 0)) for square in squares)
    return {"difference of the ends": np.abs(a - b) / np.maximum(a + b, 1e-9), "length": a + b}


def flag(indicator: np.ndarray) -> np.ndarray:
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
        decode, measured.grids, senders[:9], receivers[:9], tolerance=1e-9, max_segments=MAX_SEGMENTS
    )  # compiles every level
    started = time.perf_counter()
    refined = refine_lengths(decode, measured.grids, senders, receivers, tolerance=TOLERANCE, max_segments=MAX_SEGMENTS)
    seconds = time.perf_counter() - started
    decoded = _images(refined.segments)
    every = {**fields, "refined": "all"}
    rows = [
        *errors_of({**fields, "refined": "none"}, trapezoid, truth),
        *errors_of(every, refined.lengths, truth),
        row(every, "seconds_per_edge", seconds / len(truth), len(truth)),
        row(every, "images_per_edge", decoded.mean(), len(truth)),
        row(every, "converged", refined.converged.mean(), len(truth)),
        statistic_row({**fields, "segments": SEGMENTS // 4}, "error_median", _median_size, quarter / truth - 1),
    ]
    for name, indicator in indicators(measured, senders, receivers).items():
        chosen, bad = flag(indicator), error > TOLERANCE
        of = {**fields, "refined": "flagged", "indicator": name}
        rows += [
            *errors_of(of, np.where(chosen, refined.lengths, trapezoid), truth),
            row(of, "images_per_edge", (decoded * chosen).mean(), len(truth)),
            statistic_row(of, "indicator_spearman", spearman, indicator, error),
            statistic_row(of, "indicator_separation", separation, indicator, bad),
            row(of, "bad_edges_flagged", (bad & chosen).sum() / max(1, bad.sum()), int(bad.sum())),
        ]
    return rows


def errors_of(fields: Row, lengths: np.ndarray, truth: np.ndarray) -> list[Row]:
    """Relative errors."""
    errors = lengths / truth - 1
    return [
        statistic_row(fields, "error_median", _median_size, errors),
        statistic_row(fields, "error_p95", lambda e: float(np.percentile(np.abs(e), 95)), errors),
        statistic_row(fields, "bias_median", percentile(50), errors),
        statistic_row(fields, "bias_mean", np.mean, errors),
        statistic_row(fields, "bias_of_sum", lambda a, b: float(a.sum() / b.sum() - 1), lengths, truth),
        statistic_row(fields, "above_tolerance", lambda e: float((np.abs(e) > TOLERANCE).mean()), errors),
    ]


def _median_size(errors: np.ndarray) -> float:
    return float(np.median(np.abs(errors)))


def _images(segments: np.ndarray) -> np.ndarray:
    """Images that an edge's refinement decodes: 2 walks of s + 1 points for s = 1, 2, 4, … up to its segments."""
    levels = np.log2(segments).astype(int) + 1
    return 2 * (2 * segments - 1 + levels)


def of_distances(decode: Decoder, grids: np.ndarray, metrics: np.ndarray, seed: int) -> list[Row]:
    """What refined edges change in the distances of a smaller graph, all of whose edges can be refined."""
    measured = join(grids[:SMALL_GRAPH_IMAGES], metrics[:SMALL_GRAPH_IMAGES])
    senders, receivers = measured.ends()
    trapezoid = measure_edges(measured.z, measured.metrics, senders, receivers)
    refined = refine_lengths(
        decode, measured.grids, senders, receivers, tolerance=TOLERANCE, max_segments=MAX_SEGMENTS
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
        name: np.where(flag(indicator), refined, trapezoid)
        for name, indicator in indicators(measured, senders, receivers).items()
    }
    for name, lengths in ways.items():
        found = distances(lengths)
        of = {**fields, "refined": "flagged" if name else "none", "indicator": name}
        rows += [
            statistic_row(of, "ratio_median", percentile(50), found / truth),
            statistic_row(of, "ratio_p5", percentile(5), found / truth),
            statistic_row(of, "ratio_p95", percentile(95), found / truth),
            statistic_row(of, "spearman", spearman, found, truth),
        ]
    return rows


def study_variance(decode: Partial, latents: np.ndarray, own: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question.

    Args:
        decode: Of one grid.
        latents: Grids to draw tokens and contexts from (n, h, w, d).
        own: Metrics of tokens in their own context and position (m, h, w, d, d).
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    n, h, w, d = latents.shape
    images = rng.permutation(n)[: TOKENS + CONTEXTS]
    tokens = latents[images[:TOKENS]].reshape(TOKENS, h * w, d)[np.arange(TOKENS), rng.integers(h * w, size=TOKENS)]
    metrics = crossed_metrics(decode, tokens, latents[images[TOKENS:]])
    print(f"variance: {metrics[..., 0, 0].size} metrics of a crossed design", flush=True)
    rows = []
    scalings: dict[str, Callable] = {"metric": lambda g: g, "metric / trace": _by_trace}
    for name, scale in scalings.items():
        fields: Row = {"case": "variance", "of": name, "tokens": TOKENS, "contexts": CONTEXTS, "positions": h * w}
        crossed = scale(metrics)
        for effect, share in shares(crossed).items():
            rows.append(row({**fields, "effect": effect}, "share", share, crossed[..., 0, 0].size))
        values = scale(own).astype(np.float64)
        position = values.mean(axis=0)
        share = ((position - position.mean(axis=(0, 1))) ** 2).sum() * len(own)
        total = ((values - values.mean(axis=(0, 1, 2))) ** 2).sum()
        rows.append(
            row(
                {"case": "variance", "of": name, "effect": "position, of tokens as they occur"},
                "share",
                share / total,
                own[..., 0, 0].size,
            )
        )
    return rows


def crossed_metrics(
    decode: Partial, tokens: Float[np.ndarray, "a d"], contexts: Float[np.ndarray, "b h w d"]
) -> Float[np.ndarray, "a b p d d"]:
    """Metric of every token at every position of every context."""
    b, h, w, d = contexts.shape
    decode, plan = as_partial(decode), settle()
    of_many = jax.jit(jax.vmap(_metric_at, in_axes=(None, 0, 0, 0)), compiler_options=dict(plan.options))
    token, context, index = (axis.ravel() for axis in np.indices((len(tokens), b, h * w)))
    metrics = map_chunks(
        lambda i, j, q: of_many(decode, tokens[i], contexts[j], q),
        token,
        context,
        index,
        chunk=max(1, plan.passes // d),
        pad=True,
    )
    return metrics.reshape(len(tokens), b, h * w, d, d)


def _metric_at(decode: Partial, token: Array, context: Array, index: Array) -> Array:
    return pullback_metric(in_context(decode, context, *jnp.divmod(index, context.shape[1])), token)


def _by_trace(metrics: np.ndarray) -> np.ndarray:
    """Its shape alone: whether the image moves at all is left out."""
    return metrics / np.trace(metrics, axis1=-2, axis2=-1)[..., None, None]


def shares(values: Float[np.ndarray, "a b p d d"]) -> dict[str, float]:
    """Parts of the sum of squares around the mean, by effect; they add up to 1."""
    axes = ("token", "context", "position")
    remaining = values.astype(np.float64) - values.mean(axis=(0, 1, 2), dtype=np.float64)
    total = (remaining**2).sum()
    found = {}
    for held in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        others = tuple(axis for axis in range(3) if axis not in held)
        effect = remaining.mean(axis=others, keepdims=True)
        repeats = np.prod([values.shape[axis] for axis in others])
        found[" x ".join(axes[axis] for axis in held)] = float((effect**2).sum() * repeats / total)
        remaining = remaining - effect
    found[" x ".join(axes)] = float((remaining**2).sum() / total)
    return found
