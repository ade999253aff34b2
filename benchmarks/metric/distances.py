"""How near are distances in the graph to continuous geodesics? A study of `benchmarks.geometry`.

One position of one fixed context, so that the metric is a field on R^d: the tokens of that position in the training images are
its points. The yardstick of a pair is the shorter of two optimised paths, one started from the shortest path that any of the
graphs found, the other from the straight line; its length is measured anew with four steps in each of its own. One context and
position are looked at closely, a few others, drawn at random, for what holds beyond them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from benchmarks.common.rows import Row, percentile, row, spearman, statistic_row
from geovq.decoder.adapters import Decoder, in_context
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, knn_graph, reweight
from geovq.graph.deduplicate import merge_duplicates
from geovq.graph.paths import node_path, resample
from geovq.metric.batched import pullback_metrics
from geovq.metric.curve_lengths import polyline_lengths
from geovq.metric.edge_lengths import measure_edges
from geovq.metric.geodesics import find_geodesics
from geovq.validation import InputError

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
OTHER_CONTEXTS = 3
OTHER_NEIGHBOURS = (16, 64)
OTHER_PAIRS = 100


class Field(NamedTuple):
    """Tokens of one position, the decoder of that position in one context, and the metrics."""

    name: Row
    """The context and the position."""
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
        """All but the draw."""
        return {name: value for name, value in self._asdict().items() if name != "draw"}


class Found(NamedTuple):
    """What the graphs say of the pairs."""

    distances: dict[Case, Float[np.ndarray, " q"]]
    walked: dict[Case, Float[np.ndarray, " q"]]
    """Decoded lengths of the paths that were found, for some of the cases."""
    starts: list[Int[np.ndarray, " r"]]
    """Nodes of each pair's shortest path over all cases."""


def study_distances(decode: Decoder, latents: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question.

    Args:
        decode: Of one grid.
        latents: Training images' (n, h, w, d), enough for POOL distinct tokens.
        seed: Of the points, the pairs and the other contexts.
    """
    rng = np.random.default_rng(seed)
    central = int(np.argmin(((latents - latents.mean(axis=0)) ** 2).sum(axis=(1, 2, 3))))
    field = field_at(decode, latents, central, POSITION, "nearest the mean", POOL, rng)
    rows = compare(field, list(all_cases()), PAIRS, rng, checked=True)
    for image in rng.permutation(len(latents))[:OTHER_CONTEXTS]:
        h, w = (int(rng.integers(size)) for size in latents.shape[1:3])
        field = field_at(decode, latents, int(image), (h, w), f"image {image}", POINTS[-1], rng)
        cases = [Case("euclidean", "trapezoid", k, POINTS[-1], 0) for k in OTHER_NEIGHBOURS]
        rows += compare(field, cases, OTHER_PAIRS, rng, checked=False)
    return rows


def all_cases() -> Iterator[Case]:
    """The graphs of the context that is looked at closely."""
    for draw in range(DRAWS):
        for points in POINTS:
            for neighbours in ("euclidean", "mean metric"):
                for k in NEIGHBOURS:
                    yield Case(neighbours, "trapezoid", k, points, draw)
    yield Case("euclidean", "edges decoded", DECODED[0], POINTS[-1], 0)
    yield Case("mean metric", "edges decoded", DECODED[0], POINTS[-1], 0)


def field_at(
    decode: Decoder,
    latents: np.ndarray,
    image: int,
    position: tuple[int, int],
    name: str,
    count: int,
    rng: np.random.Generator,
) -> Field:
    """The field of a position in the context of an image, at `count` distinct tokens of that position."""
    one = in_context(decode, latents[image], *position)
    z = merge_duplicates(latents[:, *position]).points
    if len(z) < count:
        raise InputError(f"images: expected {count} distinct tokens at {position}, found {len(z)}; encode more images.")
    z = z[rng.permutation(len(z))[:count]]
    metrics = pullback_metrics(one, z)
    print(f"distances: metrics of {len(z)} distinct tokens at {position} of {name}", flush=True)
    whitened = z @ np.linalg.cholesky(metrics.mean(axis=0, dtype=np.float64)).astype(z.dtype)
    return Field({"context": name, "position": "{},{}".format(*position)}, one, z, metrics, whitened)


def compare(field: Field, cases: list[Case], n_pairs: int, rng: np.random.Generator, *, checked: bool) -> list[Row]:
    """All rows of one field."""
    pairs = rng.permutation(POINTS[0])[: 2 * n_pairs].reshape(-1, 2)
    orders = [
        np.concatenate([np.arange(POINTS[0]), rng.permutation(np.arange(POINTS[0], len(field.z)))])
        for _ in range(1 + max(case.draw for case in cases))
    ]
    found = in_graphs(field, cases, pairs, orders)
    yardstick, rows = optimise(field, pairs, found.starts, checked=checked)
    for kind in dict.fromkeys(case._replace(draw=0) for case in cases):
        fields: Row = {"case": "distance", **field.name, **kind.fields}
        draws = [found.distances[case] for case in cases if case._replace(draw=0) == kind]
        rows += ratio_rows(fields, np.stack(draws, axis=1), yardstick)
        if kind in found.walked:
            rows += ratio_rows(fields | {"lengths": "path decoded"}, found.walked[kind][:, None], yardstick)
    a, b = pairs.T
    rivals = {
        "straight line, decoded": polyline_lengths(field.decode, field.z, a, b, segments=SEGMENTS * FINER),
        "mean metric": np.linalg.norm(field.whitened[a] - field.whitened[b], axis=1),
        "euclidean": np.linalg.norm(field.z[a] - field.z[b], axis=1),
    }
    for name, lengths in rivals.items():
        rows += ratio_rows({"case": "distance", **field.name, "lengths": name}, lengths[:, None], yardstick)
    return rows


def graph_of(field: Field, case: Case, points: np.ndarray) -> csr_array:
    """The graph of a case, its edges measured."""
    where = (field.z if case.neighbours == "euclidean" else field.whitened)[points]
    graph = bridge_components(knn_graph(where, case.k), where)
    z, ends = field.z[points], edges(graph)
    if case.lengths == "trapezoid":
        return reweight(graph, measure_edges(z, field.metrics[points], *ends))
    return reweight(graph, polyline_lengths(field.decode, z, *ends, segments=DECODED[1]))


def in_graphs(field: Field, cases: list[Case], pairs: np.ndarray, orders: list[np.ndarray]) -> Found:
    """Distances of the pairs in every graph, and the best paths; the pairs are among the first points of every order."""
    found = Found({}, {}, [np.zeros(0, int)] * len(pairs))
    best = np.full(len(pairs), np.inf)
    for case in cases:
        points = orders[case.draw][: case.points]
        distances, predecessors = dijkstra(graph_of(field, case, points), indices=pairs[:, 0], return_predecessors=True)
        found.distances[case] = distances[np.arange(len(pairs)), pairs[:, 1]]
        paths = [points[node_path(tree, *pair)] for tree, pair in zip(predecessors, pairs.tolist(), strict=True)]
        for q in np.flatnonzero(found.distances[case] < best):
            best[q], found.starts[q] = found.distances[case][q], paths[q]
        if case.draw == 0 and case.points == POINTS[-1] and case.lengths == "trapezoid":
            found.walked[case] = decoded_lengths(field, paths)
    print(f"distances: {len(cases)} graphs", flush=True)
    return found


def decoded_lengths(field: Field, paths: list[np.ndarray]) -> np.ndarray:
    """Decoded lengths of paths of nodes."""
    senders, receivers = np.concatenate([path[:-1] for path in paths]), np.concatenate([path[1:] for path in paths])
    lengths = polyline_lengths(field.decode, field.z, senders, receivers, segments=SIDE_SEGMENTS)
    return np.add.reduceat(lengths, np.cumsum([0] + [len(path) - 1 for path in paths[:-1]]))


def optimise(
    field: Field, pairs: np.ndarray, nodes: list[np.ndarray], *, checked: bool
) -> tuple[np.ndarray, list[Row]]:
    """Lengths of the yardsticks, and the rows about them."""
    starts = {
        "graph": np.stack([space_evenly(field, path) for path in nodes]),
        "straight": np.stack([resample(field.z[pair], SEGMENTS) for pair in pairs]),
    }
    found = {name: find_geodesics(field.decode, paths) for name, paths in starts.items()}
    fine = {name: fine_lengths(field, result.paths) for name, result in found.items()}
    yardstick = np.minimum(*fine.values())
    print("distances: yardsticks", flush=True)
    fields: Row = {"case": "yardstick", **field.name, "segments": SEGMENTS}
    rows = [statistic_row(fields, "length_median", percentile(50), yardstick)]
    for name, result in found.items():
        of = {**fields, "start": name}
        excess = fine[name] / yardstick - 1
        rows += [
            row(of, "converged", result.converged.mean(), len(pairs)),
            statistic_row(of, "n_iter_median", percentile(50), result.n_iter),
            row(of, "longer_by_1e-3", (excess > 1e-3).mean(), len(pairs)),
            row(of, "excess_max", excess.max(), len(pairs)),
            statistic_row(of, "gain_median", percentile(50), 1 - fine[name] / fine_lengths(field, starts[name])),
        ]
    if checked:
        shorter = (fine["graph"] < fine["straight"])[:, None, None]
        best = np.where(shorter, found["graph"].paths, found["straight"].paths)
        rows += checks(field, fields, best[:CHECKED_PAIRS], yardstick[:CHECKED_PAIRS])
    return yardstick, rows


def checks(field: Field, fields: Row, best: np.ndarray, yardstick: np.ndarray) -> list[Row]:
    """What other segments and more iterations change, relative to the yardstick."""
    tighter = find_geodesics(field.decode, best, iterations=300, tolerance=1e-7)
    ways = {"300 iterations, tolerance 1e-7": tighter.paths}
    for segments in (SEGMENTS // 2, 2 * SEGMENTS):
        again = find_geodesics(field.decode, np.stack([resample(path, segments) for path in best]))
        ways[f"{segments} segments"] = again.paths
    rows = []
    for name, paths in ways.items():
        change = fine_lengths(field, paths) / yardstick - 1
        of = {**fields, "check": name}
        rows += [
            statistic_row(of, "change_median", percentile(50), change),
            row(of, "change_min", change.min(), len(change)),
            row(of, "change_max", change.max(), len(change)),
        ]
    print("distances: yardsticks checked", flush=True)
    return rows


def space_evenly(field: Field, nodes: np.ndarray) -> np.ndarray:
    """A path of nodes, as points at equal lengths."""
    sides = measure_edges(field.z, field.metrics, nodes[:-1], nodes[1:])
    return resample(field.z[nodes], SEGMENTS, sides)


def fine_lengths(field: Field, paths: np.ndarray) -> np.ndarray:
    """Lengths of latent polylines, not of the chords between their corners' images."""
    b, corners, d = paths.shape
    first = (np.arange(b)[:, None] * corners + np.arange(corners - 1)).ravel()
    sides = polyline_lengths(field.decode, paths.reshape(-1, d), first, first + 1, segments=FINER)
    return sides.reshape(b, -1).sum(axis=1)


def ratio_rows(fields: Row, distances: Float[np.ndarray, "q draws"], yardstick: Float[np.ndarray, " q"]) -> list[Row]:
    """Ratio to the yardstick and rank correlation with it, means over the draws."""

    def ratio(q: float) -> Callable[..., float]:
        return lambda found, truth: float(np.percentile(found / truth[:, None], q, axis=0).mean())

    def correlation(found: np.ndarray, truth: np.ndarray) -> float:
        return float(np.mean([spearman(column, truth) for column in found.T]))

    fields = {**fields, "draws": distances.shape[1]}
    statistics = {"ratio_median": ratio(50), "ratio_p5": ratio(5), "ratio_p95": ratio(95), "spearman": correlation}
    return [statistic_row(fields, score, statistic, distances, yardstick) for score, statistic in statistics.items()]
