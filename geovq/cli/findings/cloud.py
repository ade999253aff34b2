"""The latents of tokens as a cloud: how much the decoder magnifies each, the graph between them, and shortest paths decoded."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse.csgraph
from jaxtyping import Float, Int

from geovq.batching.plan import Plan
from geovq.cli.findings.neighbours import EUCLIDEAN, PULLBACK
from geovq.cli.findings.windows import own_metric, pixels_around, window_of
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.geometry.measured import MeasuredTokens, connect_tokens, draw
from geovq.graph.csr import undirected
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.paths import node_path, resample
from geovq.tokenizer.tokenizer import Tokenizer

MOST_TOKENS = 250
"""Tokens of a cloud: one metric each."""

NUM_NEIGHBOURS = 8
"""Nearest neighbours that a token is joined to."""

ROUTES = 3
"""Pairs of tokens between which paths are shown."""

LINE = "straight line"

_CONTEXT = 5
"""Rows and columns of the grid around a token that are decoded, where grids may have any size."""

_AROUND = 1
"""Tokens around it that are shown."""

_TAIL = 0.05
"""Part of the tokens that lie beyond either end of a route, along its direction."""

_SEGMENTS, _FRAMES = 32, 9
"""Steps in which a path is measured, and images of it that are shown."""

_FLAT = 1e-4
"""Directions along which latents spread less than this part of the most are none."""


class Film(NamedTuple):
    """A path, decoded."""

    nodes: Int[np.ndarray, " r"]
    """Tokens that it goes through, by their number in the cloud."""
    frames: Float[np.ndarray, "f H W C"]
    """Images of it around the token that changes, at about equal steps of the way."""
    length: float
    """By how much the whole window changes in all, in intensity."""


class Cloud(NamedTuple):
    """m tokens with distinct latents."""

    latents: Float[np.ndarray, "m d"]
    magnifications: Float[np.ndarray, " m"]
    """√(tr G / d): change of the image for a step of one latent unit, root mean square over directions, in intensity."""
    edges: Int[np.ndarray, "e 2"]
    """Of the graph of nearest neighbours in latent space."""
    lengths: dict[str, Float[np.ndarray, " e"]]
    """Of its edges, by measure."""
    routes: list[dict[str, Film]]
    """Between pairs of tokens: along a straight line, and along the shortest path by each measure."""


def make_cloud(
    tokenizer: Tokenizer,
    images: Sequence[np.ndarray],
    plan: Plan,
    progress: Callable[[int], None] = lambda count: None,
    *,
    max_tokens: int = MOST_TOKENS,
    seed: int = 0,
) -> Cloud:
    """The cloud of some tokens of images.

    Paths are decoded in place of the token at their first end: the tokens around it stay as they are.

    Args:
        tokenizer: Whose encoder gives the latents.
        images: (H, W, C), bytes, of sizes that it takes.
        plan: How much at once.
        progress: Called with the tokens done.
        max_tokens: Number of tokens, drawn at random.
        seed: Of the draw.
    """
    grids = [encode_images(tokenizer.encoder, image[None], plan=plan)[0] for image in images]
    every = [(i, *at) for i, grid in enumerate(grids) for at in np.ndindex(grid.shape[:2])]
    places = draw(np.array(every), max_tokens, seed)
    merged = merge_duplicates(np.stack([grids[i][row, column] for i, row, column in places]))
    size = _CONTEXT if tokenizer.stride else None
    contexts, metrics = [], []
    for i, row, column in places:
        window = window_of((int(row), int(column)), grids[i].shape[:2], size)
        contexts.append((grids[i][window.rows, window.columns], window.inside))
        metrics.append(own_metric(single(tokenizer.decoder), contexts[-1][0], *map(np.int32, window.inside)))
        progress(1)
    d = merged.points.shape[1]
    mean = np.mean(metrics, axis=0)
    metric = group_means(np.reshape(metrics, (len(places), -1)), merged).reshape(-1, d, d)
    tokens = MeasuredTokens(merged.points, merged.weights, metric, mean, mean[None, None])
    geometry = connect_tokens(tokens, num_neighbours=NUM_NEIGHBOURS, seed=seed)
    graphs = {EUCLIDEAN: geometry.straight, PULLBACK: geometry.geodesic}
    senders, receivers, _ = undirected(geometry.straight)
    _, firsts = np.unique(merged.index, return_index=True)
    routes = []
    for first, last in ends_along(merged.points, ROUTES):
        paths = {LINE: np.array([first, last])}
        for name, graph in graphs.items():
            _, before = scipy.sparse.csgraph.dijkstra(graph, indices=first, return_predecessors=True)
            paths[name] = node_path(before, first, last)
        films = {
            name: _film(tokenizer, merged.points, nodes, *contexts[int(firsts[first])], plan)
            for name, nodes in paths.items()
        }
        routes.append(films)
    return Cloud(
        merged.points,
        np.sqrt(np.trace(metric, axis1=1, axis2=2) / metric.shape[-1]),
        np.stack([senders, receivers], axis=1),
        {name: undirected(graph)[2] for name, graph in graphs.items()},
        routes,
    )


def main_directions(latents: Float[np.ndarray, "m d"]) -> tuple[Float[np.ndarray, "q d"], Float[np.ndarray, " q"]]:
    """Principal directions along which latents spread, the widest first, and the part of the variance of each."""
    _, spreads, directions = np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)
    kept = spreads > _FLAT * spreads[0]
    return directions[kept], (spreads[kept] / np.linalg.norm(spreads[kept])) ** 2


def ends_along(latents: Float[np.ndarray, "m d"], count: int) -> list[tuple[int, int]]:
    """For each of the first main directions two tokens, near its lower and its upper end, that nobody chose."""
    found, aside = [], int(_TAIL * len(latents))
    for direction in main_directions(latents)[0][:count]:
        order = np.argsort(latents @ direction, kind="stable")
        found.append((int(order[aside]), int(order[-1 - aside])))
    return found


def _film(
    tokenizer: Tokenizer,
    latents: np.ndarray,
    nodes: np.ndarray,
    context: Float[np.ndarray, "h w d"],
    at: tuple[int, int],
    plan: Plan,
) -> Film:
    """A polyline of latents in the place of a token."""
    grids = np.repeat(context[None], _SEGMENTS + 1, axis=0)
    grids[:, *at] = resample(latents[nodes], _SEGMENTS)
    images = decode_latents(tokenizer.decoder, grids, plan=plan)
    steps = np.linalg.norm(np.diff(images.reshape(len(images), -1), axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    chosen = [int(np.abs(along - length).argmin()) for length in np.linspace(0, along[-1], _FRAMES)]
    rows, columns = (
        pixels_around(i, side, pixels // side, _AROUND)
        for i, side, pixels in zip(at, context.shape, images.shape[1:], strict=False)
    )
    return Film(nodes, images[chosen][:, rows, columns], float(along[-1]))
