"""The measured latent space: sampled latents with their metrics, and the graph between them.

On R^d the pullback metric is a sampled field: it is known at latents of images, each in the context of its own grid. So distances
are lengths of paths over those latents.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float

from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import Decoder
from geovq.graph.components import join_components
from geovq.graph.csr import largest_component, neighbour_graph, undirected, with_lengths
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.metric.batched import mean_metrics, token_metrics
from geovq.metric.edge_lengths import measure_edges
from geovq.validation import check_choice, check_whole

COMPONENTS = ("bridge", "drop")

_MEAN_GRIDS = 1000
"""Grids at most over which mean metrics are taken where metrics are sketched."""


class Means(NamedTuple):
    """Mean metrics, intensity²: what `Whitened` and `whitened` codes need."""

    mean_metric: Float[np.ndarray, "d d"]
    """Over all measured tokens."""
    position_metrics: Float[np.ndarray, "h w d d"]
    """Over those at each position of the grid."""


class MeasuredTokens(NamedTuple):
    """m distinct latents with their own metrics, beside `Means`: what `metric` codes need."""

    nodes: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    """Number of sampled tokens with this latent."""
    metrics: Float[np.ndarray, "m d d"]
    """Mean metric of those tokens, intensity²."""
    mean_metric: Float[np.ndarray, "d d"]
    position_metrics: Float[np.ndarray, "h w d d"]


class Geometry(NamedTuple):
    """m distinct latents, their metrics, and the graph between them: what medoids and `Geodesic` need."""

    nodes: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    """Number of sampled tokens with this latent."""
    metrics: Float[np.ndarray, "m d d"]
    """Mean metric of those tokens, intensity²."""
    mean_metric: Float[np.ndarray, "d d"]
    """Mean metric of all measured tokens, intensity²; of at most 1,000 grids where metrics are sketched."""
    position_metrics: Float[np.ndarray, "h w d d"]
    """The same at each position of the grid."""
    straight: scipy.sparse.csr_array
    """k-NN graph with Euclidean lengths."""
    geodesic: scipy.sparse.csr_array
    """The same edges with pullback lengths, in intensity units."""
    num_neighbours: int
    """Nearest neighbours that every node is joined to; where nodes are few, all others."""
    recall: float
    """Fraction of the true nearest neighbours that were found, over a sample of nodes."""
    bridges: int
    """Edges added to join the graph's components."""
    dropped: int
    """Nodes outside the largest component, with components="drop": none of them becomes a medoid."""


Statistics = Means | MeasuredTokens | Geometry
"""What is known of latents beside themselves; each has what the one before it has."""


def measure(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    num_neighbours: int,
    max_images: int | None = None,
    probes: int | None = None,
    seed: int = 0,
    components: str = "bridge",
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Geometry:
    """Metrics of every token of the grids, or of a random sample of them, and the graph between the distinct ones.

    Args:
        decode: Takes one grid (h, w, d) to one image, in intensity units.
        grids: Latents (n, h, w, d).
        num_neighbours: Nearest neighbours that a node is joined to, at least 1; all others where there are fewer.
        max_images: At most so many grids are measured, drawn at random. None measures all.
        probes: Random probes of sketched metrics, see `geovq.metric.batched.token_metrics`; None for exact ones. Mean metrics
            are sketched by as many, of at most 1,000 of the grids, each with probes of its own, whose errors average out.
        seed: Of every random choice.
        components: "bridge" joins the graph's components by the shortest edges between them. "drop" leaves them apart, as the
            original study did: codes come from the largest one, and latents in the others get no valid token.
        plan: How much at once and on which devices the decoder is run.
        progress: Called with the grids done while tokens' own metrics are computed.

    Returns:
        The geometry.

    Raises:
        InputError: Bad latents or decoder, no neighbours, nothing to be drawn, or an unknown `components`.
    """
    check_graph_options(num_neighbours, components)
    if max_images is not None:
        grids = draw(grids, max_images, seed)
    metrics = token_metrics(decode, grids, probes=probes, seed=seed, plan=plan, progress=progress)
    means = means_of(metrics)
    if probes is not None:
        means = measure_means(decode, draw(grids, _MEAN_GRIDS, seed), probes=probes, seed=seed, plan=plan)
    tokens = merge_tokens(grids, metrics, means)
    return connect_tokens(tokens, num_neighbours=num_neighbours, seed=seed, components=components)


def draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows (n, ...), drawn at random without replacement, in their order; the same array where n <= count."""
    check_whole("count", count)
    if len(rows) <= count:
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]


def check_graph_options(num_neighbours: int, components: str) -> None:
    """Refuses a graph without neighbours, or with an unknown way to treat its components.

    Raises:
        InputError: With what was found.
    """
    check_choice("components", components, COMPONENTS)
    check_whole("num_neighbours", num_neighbours)


def measure_means(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    probes: int,
    seed: int,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Means:
    """Mean metrics of grids, by probes of each grid's own; arguments and errors as `geovq.metric.batched.mean_metrics`."""
    found = mean_metrics(decode, grids, probes=probes, seed=seed, plan=plan, progress=progress)
    return Means(found.overall.astype(np.float32), found.by_position.astype(np.float32))


def means_of(metrics: Float[np.ndarray, "n h w d d"]) -> Means:
    """The means of tokens' own metrics."""
    by_position = metrics.mean(axis=0, dtype=np.float64)
    return Means(by_position.mean(axis=(0, 1)).astype(np.float32), by_position.astype(np.float32))


def merge_tokens(
    grids: Float[np.ndarray, "n h w d"],
    metrics: Float[np.ndarray, "n h w d d"],
    means: Means,
    *,
    max_tokens: int | None = None,
    seed: int = 0,
) -> MeasuredTokens:
    """The distinct latents of the grids, or of at most so many of their tokens, drawn at random, with their metrics."""
    d = grids.shape[-1]
    latents, metrics = grids.reshape(-1, d), metrics.reshape(-1, d * d)
    if max_tokens is not None:
        latents, metrics = draw(latents, max_tokens, seed), draw(metrics, max_tokens, seed)
    merged = merge_duplicates(latents)
    return MeasuredTokens(merged.points, merged.weights, group_means(metrics, merged).reshape(-1, d, d), *means)


def connect(
    grids: Float[np.ndarray, "n h w d"],
    metrics: Float[np.ndarray, "n h w d d"],
    *,
    num_neighbours: int,
    seed: int = 0,
    components: str = "bridge",
) -> Geometry:
    """`measure` with metrics of the tokens (n, h, w, d, d) that were computed before."""
    tokens = merge_tokens(grids, metrics, means_of(metrics))
    return connect_tokens(tokens, num_neighbours=num_neighbours, seed=seed, components=components)


def connect_tokens(
    tokens: MeasuredTokens, *, num_neighbours: int, seed: int = 0, components: str = "bridge"
) -> Geometry:
    """The graph between measured tokens; arguments and errors as `measure`."""
    check_graph_options(num_neighbours, components)
    nodes = tokens.nodes
    num_neighbours = max(1, min(num_neighbours, len(nodes) - 1))
    straight, recall = _neighbour_graph(nodes, num_neighbours, seed)
    arcs, dropped = straight.nnz, 0
    if components == "bridge":
        straight = join_components(straight, nodes)
    else:
        dropped = len(nodes) - len(largest_component(straight))
    bridges = (straight.nnz - arcs) // 2
    senders, receivers, _ = undirected(straight)
    geodesic = with_lengths(straight, measure_edges(nodes, tokens.metrics, senders, receivers))
    return Geometry(*tokens, straight, geodesic, num_neighbours, recall, bridges, dropped)


def _neighbour_graph(points: Float[np.ndarray, "m d"], k: int, seed: int) -> tuple[scipy.sparse.csr_array, float]:
    """The k-NN graph of distinct points, without edges where there is one point alone, and the recall."""
    if len(points) == 1:
        return scipy.sparse.csr_array((1, 1)), 1.0
    found = nearest_neighbours(points, k, seed=seed)
    return neighbour_graph(found), found.recall
