"""The measured latent space: sampled latents with their metrics, and the graph between them.

On R^d the pullback metric is a sampled field: it is known at latents of images, each in the context of its own grid. So distances
are lengths of paths over those latents.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float

from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN
from geovq.decoder.adapters import Decoder
from geovq.graph.components import join_components
from geovq.graph.csr import largest_component, neighbour_graph, undirected, with_lengths
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.metric.batched import mean_metrics, token_metrics
from geovq.metric.edge_lengths import measure_edges
from geovq.validation import InputError, check_whole

COMPONENTS = ("bridge", "drop")

# Grids over which the mean metric is taken where the others are sketched.
_MEAN_GRIDS = 1000


class Geometry(NamedTuple):
    """m distinct latents, their metrics, and the graph between them."""

    nodes: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    """Number of sampled tokens with this latent."""
    metrics: Float[np.ndarray, "m d d"]
    """Mean metric of those tokens, intensity²."""
    mean_metric: Float[np.ndarray, "d d"]
    """Mean metric of all sampled tokens, intensity²; of at most 1,000 grids where metrics are sketched."""
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


def measure(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    num_neighbours: int,
    max_images: int | None = None,
    probes: int | None = None,
    mean_probes: int | None = None,
    seed: int = 0,
    components: str = "bridge",
    progress: Progress | None = None,
) -> Geometry:
    """Metrics of every token of the grids, or of a random sample of them, and the graph between the distinct ones.

    Args:
        decode: Takes one grid (h, w, d) to one image, in intensity units.
        grids: Latents (n, h, w, d).
        num_neighbours: Nearest neighbours that a node is joined to, at least 1; all others where there are fewer.
        max_images: At most so many grids are measured, drawn at random. None measures all.
        probes: Random probes of sketched metrics, see `geovq.metric.batched.token_metrics`; None for exact ones.
        mean_probes: Random probes of the mean metrics where `probes` sketches the others; None for exact ones.
        seed: Of every random choice.
        components: "bridge" joins the graph's components by the shortest edges between them. "drop" leaves them apart, as the
            original study did: codes come from the largest one, and latents in the others get no valid token.
        progress: Called with the grids done while metrics are computed.

    Returns:
        The geometry.

    Raises:
        InputError: Bad latents or decoder, no neighbours, nothing to be drawn, or an unknown `components`.
    """
    if components not in COMPONENTS:
        raise InputError(f"components: expected one of {', '.join(COMPONENTS)}, found {components!r}.")
    check_whole("num_neighbours", num_neighbours)
    if max_images is not None:
        check_whole("max_images", max_images)
        grids = draw(grids, max_images, seed)
    metrics = token_metrics(decode, grids, probes=probes, seed=seed, plan=DEFAULT_PLAN, progress=progress)
    geometry = connect(grids, metrics, num_neighbours=num_neighbours, seed=seed, components=components)
    if probes is None:
        return geometry
    # All grids have the same probes, whose errors do not average out.
    some = draw(grids, _MEAN_GRIDS, seed)
    means = mean_metrics(decode, some, probes=mean_probes, seed=seed, plan=DEFAULT_PLAN)
    return geometry._replace(
        mean_metric=means.overall.astype(np.float32), position_metrics=means.by_position.astype(np.float32)
    )


def draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows (n, ...), drawn at random without replacement, in their order; all of them where n <= count."""
    check_whole("count", count)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]


def connect(
    grids: Float[np.ndarray, "n h w d"],
    metrics: Float[np.ndarray, "n h w d d"],
    *,
    num_neighbours: int,
    seed: int = 0,
    components: str = "bridge",
) -> Geometry:
    """`measure` with metrics of the tokens (n, h, w, d, d) that were computed before."""
    check_whole("num_neighbours", num_neighbours)
    d = grids.shape[-1]
    merged = merge_duplicates(grids.reshape(-1, d))
    node_metrics = group_means(metrics.reshape(-1, d * d), merged).reshape(-1, d, d)
    num_neighbours = max(1, min(num_neighbours, len(merged.points) - 1))
    straight, recall = _neighbour_graph(merged.points, num_neighbours, seed)
    arcs, dropped = straight.nnz, 0
    if components == "bridge":
        straight = join_components(straight, merged.points)
    else:
        dropped = len(merged.points) - len(largest_component(straight))
    bridges = (straight.nnz - arcs) // 2
    senders, receivers, _ = undirected(straight)
    lengths = measure_edges(merged.points, node_metrics, senders, receivers)
    by_position = metrics.mean(axis=0, dtype=np.float64)
    mean = by_position.mean(axis=(0, 1))
    geodesic = with_lengths(straight, lengths)
    return Geometry(
        merged.points,
        merged.weights,
        node_metrics,
        mean.astype(np.float32),
        by_position.astype(np.float32),
        straight,
        geodesic,
        num_neighbours,
        recall,
        bridges,
        dropped,
    )


def _neighbour_graph(points: Float[np.ndarray, "m d"], k: int, seed: int) -> tuple[scipy.sparse.csr_array, float]:
    """The k-NN graph of distinct points, without edges where there is one point alone, and the recall."""
    if len(points) == 1:
        return scipy.sparse.csr_array((1, 1)), 1.0
    found = nearest_neighbours(points, k, seed=seed)
    return neighbour_graph(found), found.recall
