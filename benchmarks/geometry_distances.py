"""How near are distances in the graph to continuous geodesics? For `benchmarks.geometry`.

One position of one fixed context, so that the metric is a field on R^d: the tokens of that position in the training images are
its points. The yardstick of a pair is the shorter of two optimised paths, one started from the shortest path that any of the
graphs found, the other from the straight line; its length is measured anew with four steps in each of its own.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.resampling import Row, estimated, exact, percentile, spearman
from geovq.checks import InputError
from geovq.decoders import Decoder
from geovq.geodesic import Geodesics, geodesics
from geovq.graph import bridge_components, edges, knn_graph, merge_duplicates, reweight
from geovq.lengths import edge_lengths
from geovq.metric import pullback_metrics
from geovq.paths import node_path, resample
from geovq.polylines import polyline_lengths

POSITION = (1, 1)
NEIGHBOURS = (4, 8, 16, 32, 64)
POINTS = (1250, 2500, 5000)
POOL = 10_000
DRAWS = 3
PAIRS = 200
SEGMENTS = 32
FINER = 4
SIDE_SEGMENTS = 16
CHECKED_PAIRS = 50
DECODED = (16, 4)
"""Neighbours of the graph whose edges are decoded, and their segments."""


class Field(NamedTuple):
    """Tokens of one position, the decoder of that position, and the metrics."""

    decode: Partial
    z: Float[np.ndarray, "n d"]
    metrics: Float[np.ndarray, "n d d"]
    whitened: Float[np.ndarray, "n d"]
    """Coordinates in which the mean metric is the identity."""


class Case(NamedTuple):
    """One kind of graph on one draw of the points."""

    neighbours: str
    lengths: str
    k: int
    points: int
    draw: int

    @property
    def fields(self) -> Row:
        """What identifies its rows: `n` is the number of cases there, so the points are `points`."""
        return {
            "case": "distance",
            "neighbours": self.neighbours,
            "lengths": self.lengths,
            "k": self.k,
            "points": self.points,
        }


class Found(NamedTuple):
    """What the graphs say of the pairs."""

    distances: dict[Case, Float[np.ndarray, " q"]]
    walked: dict[Case, Float[np.ndarray, " q"]]
    """Decoded lengths of the paths that were found, for some of the cases."""
    starts: list[Int[np.ndarray, " r"]]
    """Nodes of each pair's shortest path over all cases."""


def study(decode: Decoder, latents: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question.

    Args:
        decode: Of one grid.
        latents: Training images' (n, h, w, d), enough for POOL distinct tokens.
        seed: Of the points and the pairs.
    """
    rng = np.random.default_rng(seed)
    field = field_at(decode, latents, rng)
    pairs = rng.permutation(POINTS[0])[: 2 * PAIRS].reshape(-1, 2)
    found = in_graphs(field, pairs, [rng.permutation(np.arange(POINTS[0], POOL)) for _ in range(DRAWS)])
    yardstick, rows = optimised(field, pairs, found.starts)
    for kind in dict.fromkeys(case._replace(draw=0) for case in found.distances):
        draws = [found.distances[case] for case in found.distances if case._replace(draw=0) == kind]
        ratios = np.stack(draws, axis=1) / yardstick[:, None]
        rows += ratio_rows(kind.fields | {"draws": len(draws)}, ratios, yardstick)
        if kind in found.walked:
            rows += ratio_rows(
                kind.fields | {"lengths": "path decoded", "draws": 1},
                found.walked[kind][:, None] / yardstick[:, None],
                yardstick,
            )
    straight = polyline_lengths(field.decode, field.z, pairs[:, 0], pairs[:, 1], segments=SEGMENTS * FINER)
    euclidean = np.linalg.norm(field.z[pairs[:, 0]] - field.z[pairs[:, 1]], axis=1)
    whitened = np.linalg.norm(field.whitened[pairs[:, 0]] - field.whitened[pairs[:, 1]], axis=1)
    rivals = {"straight line, decoded": straight, "mean metric": whitened, "euclidean": euclidean}
    for name, lengths in rivals.items():
        rows += ratio_rows({"case": "distance", "lengths": name}, (lengths / yardstick)[:, None], yardstick)
    return rows


def field_at(decode: Decoder, latents: np.ndarray, rng: np.random.Generator) -> Field:
    """The field of POSITION in the context of the image whose latents are nearest to the mean."""
    context = latents[np.argmin(((latents - latents.mean(axis=0)) ** 2).sum(axis=(1, 2, 3)))]
    one = Partial(_in_context, decode, jnp.asarray(context))
    z = merge_duplicates(latents[:, *POSITION]).points
    if len(z) < POOL:
        raise InputError(f"images: expected {POOL} distinct tokens at {POSITION}, found {len(z)}; encode more images.")
    z = z[rng.permutation(len(z))[:POOL]]
    metrics = pullback_metrics(one, z)
    print(f"distances: metrics of {len(z)} distinct tokens at {POSITION}", flush=True)
    return Field(one, z, metrics, z @ np.linalg.cholesky(metrics.mean(axis=0, dtype=np.float64)).astype(z.dtype))


def _in_context(decode: Decoder, context: Array, token: Array) -> Array:
    return decode(context.at[POSITION].set(token))


def graphs(field: Field, others: list[np.ndarray]) -> Iterator[tuple[Case, np.ndarray, csr_array]]:
    """Every case with its points (the first POINTS[0] are in all of them) and its graph."""
    for draw, other in enumerate(others):
        for n in POINTS:
            points = np.concatenate([np.arange(POINTS[0]), other[: n - POINTS[0]]])
            for neighbours, where in (("euclidean", field.z), ("mean metric", field.whitened)):
                for k in NEIGHBOURS:
                    graph = bridge_components(knn_graph(where[points], k), where[points])
                    lengths = edge_lengths(field.z[points], field.metrics[points], *edges(graph))
                    yield Case(neighbours, "trapezoid", k, n, draw), points, reweight(graph, lengths)
                    if draw == 0 and n == POINTS[-1] and k == DECODED[0]:
                        lengths = polyline_lengths(field.decode, field.z[points], *edges(graph), segments=DECODED[1])
                        yield Case(neighbours, "edges decoded", k, n, draw), points, reweight(graph, lengths)


def in_graphs(field: Field, pairs: np.ndarray, others: list[np.ndarray]) -> Found:
    """Distances of the pairs in every graph, and the best paths."""
    found = Found({}, {}, [np.zeros(0, int)] * len(pairs))
    best = np.full(len(pairs), np.inf)
    for case, points, graph in graphs(field, others):
        distances, predecessors = dijkstra(graph, indices=pairs[:, 0], return_predecessors=True)
        found.distances[case] = distances[np.arange(len(pairs)), pairs[:, 1]]
        paths = [points[node_path(row, *pair)] for row, pair in zip(predecessors, pairs.tolist(), strict=True)]
        for q in np.flatnonzero(found.distances[case] < best):
            best[q], found.starts[q] = found.distances[case][q], paths[q]
        if case.draw == 0 and case.points == POINTS[-1]:
            found.walked[case] = walked(field, paths)
        if case.k == NEIGHBOURS[-1]:
            print(f"distances: {case}", flush=True)
    return found


def walked(field: Field, paths: list[np.ndarray]) -> np.ndarray:
    """Decoded lengths of paths of nodes."""
    senders, receivers = np.concatenate([path[:-1] for path in paths]), np.concatenate([path[1:] for path in paths])
    lengths = polyline_lengths(field.decode, field.z, senders, receivers, segments=SIDE_SEGMENTS)
    return np.add.reduceat(lengths, np.cumsum([0] + [len(path) - 1 for path in paths[:-1]]))


def optimised(field: Field, pairs: np.ndarray, starts: list[np.ndarray]) -> tuple[np.ndarray, list[Row]]:
    """Lengths of the yardsticks, and the rows about them."""
    straight = np.stack([resample(field.z[pair], SEGMENTS) for pair in pairs])
    from_straight = geodesics(field.decode, straight)
    print("distances: yardsticks from straight lines", flush=True)
    from_graph = geodesics(field.decode, graph_starts(field, starts, SEGMENTS))
    print("distances: yardsticks from paths of the graph", flush=True)
    a, b = fine_lengths(field, from_graph), fine_lengths(field, from_straight)
    yardstick = np.minimum(a, b)
    fields: Row = {"case": "yardstick", "segments": SEGMENTS}
    won = np.where((a < b)[:, None, None], from_graph.paths, from_straight.paths)
    n = len(pairs)
    rows = [
        exact({**fields, "start": "graph"}, "shorter_by_1e-3", (a < b * 0.999).mean(), n),
        exact({**fields, "start": "straight"}, "shorter_by_1e-3", (b < a * 0.999).mean(), n),
        exact(fields, "starts_agree_within_1e-3", (np.abs(a / b - 1) <= 1e-3).mean(), n),
        estimated(fields, "length_median", percentile(50), yardstick),
    ]
    for name, found in (("graph", from_graph), ("straight", from_straight)):
        of = {**fields, "start": name}
        rows += [
            exact(of, "converged", found.converged.mean(), n),
            estimated(of, "n_iter_median", percentile(50), found.n_iter),
            estimated(of, "ratio_median", percentile(50), (a if name == "graph" else b) / yardstick),
            exact(of, "ratio_max", ((a if name == "graph" else b) / yardstick).max(), n),
        ]
    checked = won[:CHECKED_PAIRS]
    for segments in (SEGMENTS // 2, 2 * SEGMENTS):
        again = geodesics(field.decode, np.stack([resample(path, segments) for path in checked]))
        ratio = fine_lengths(field, again) / yardstick[:CHECKED_PAIRS]
        rows += check_rows({**fields, "segments": segments, "check": "other segments"}, ratio)
    more = fine_lengths(field, geodesics(field.decode, checked, iterations=300, tolerance=1e-7))
    rows += check_rows({**fields, "check": "300 iterations, tolerance 1e-7"}, more / yardstick[:CHECKED_PAIRS])
    print("distances: yardsticks checked", flush=True)
    return yardstick, rows


def graph_starts(field: Field, starts: list[np.ndarray], segments: int) -> np.ndarray:
    """Paths of nodes, as points at equal lengths."""
    paths = []
    for nodes in starts:
        sides = edge_lengths(field.z, field.metrics, nodes[:-1], nodes[1:])
        paths.append(resample(field.z[nodes], segments, sides))
    return np.stack(paths)


def fine_lengths(field: Field, found: Geodesics) -> np.ndarray:
    """Lengths of latent polylines, not of the chords between their corners' images."""
    b, corners, d = found.paths.shape
    first = (np.arange(b)[:, None] * corners + np.arange(corners - 1)).ravel()
    sides = polyline_lengths(field.decode, found.paths.reshape(-1, d), first, first + 1, segments=FINER)
    return sides.reshape(b, -1).sum(axis=1)


def ratio_rows(fields: Row, ratios: np.ndarray, yardstick: np.ndarray) -> list[Row]:
    """Median ratio to the yardstick, its spread, and rank correlation with it: means over draws (q, draws)."""

    def over_draws(statistic):
        return lambda *columns: float(np.mean([statistic(*rest) for rest in _by_draw(*columns)]))

    return [
        estimated(fields, "ratio_median", over_draws(percentile(50)), ratios),
        estimated(fields, "ratio_p5", over_draws(percentile(5)), ratios),
        estimated(fields, "ratio_p95", over_draws(percentile(95)), ratios),
        estimated(
            fields,
            "spearman",
            over_draws(spearman),
            ratios * yardstick[:, None],
            np.broadcast_to(yardstick[:, None], ratios.shape),
        ),
    ]


def _by_draw(*columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    return zip(*(column.T for column in columns), strict=True)


def check_rows(fields: Row, ratio: np.ndarray) -> list[Row]:
    """What another way to optimise changes."""
    return [
        estimated(fields, "ratio_median", percentile(50), ratio),
        exact(fields, "ratio_min", ratio.min(), len(ratio)),
        exact(fields, "ratio_max", ratio.max(), len(ratio)),
    ]
