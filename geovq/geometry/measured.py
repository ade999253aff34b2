"""The measured latent space: sampled latents with their metrics, the graph between them, and where codes lie in it.

On R^d the pullback metric is a sampled field: it is known at latents that came out of images, each in the context of its own
grid. So distances are path lengths over those latents.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float

from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN
from geovq.decoder.adapters import Decoder
from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, largest_component, neighbour_graph, reweight
from geovq.graph.deduplicate import group_means, merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.metric.batched import mean_metrics, token_metrics
from geovq.metric.edge_lengths import measure_edges
from geovq.models.config import COMPONENTS
from geovq.validation import InputError

# Grids over which the mean metric is taken exactly where the others are sketched.
_MEAN_GRIDS = 1000


class Geometry(NamedTuple):
    """m distinct latents, how the decoder's image changes around each, and the graph between them."""

    nodes: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    """How many of the sampled tokens had this latent."""
    metrics: Float[np.ndarray, "m d d"]
    """Mean metric of those tokens, intensity²."""
    mean_metric: Float[np.ndarray, "d d"]
    """Mean metric of all sampled tokens (of at most 1,000 grids where metrics are sketched), intensity²: what `whitened` uses."""
    position_metrics: Float[np.ndarray, "h w d d"]
    """The same at each position of the grid: what `whitened-position` and the damping of `joint` use."""
    straight: scipy.sparse.csr_array
    """k-NN graph with Euclidean lengths."""
    geodesic: scipy.sparse.csr_array
    """The same edges with pullback lengths, in intensity units."""
    num_neighbours: int
    """Nearest neighbours that a node was joined to."""
    recall: float
    """Fraction of the true nearest neighbours that were found, over a sample of nodes."""
    bridges: int
    """Edges that were added to join the graph's components."""
    dropped: int
    """Nodes outside the largest component, where components are dropped: no medoid is chosen among them."""


def measure(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    num_neighbours: int,
    max_images: int | None = None,
    probes: int | None = None,
    seed: int = 0,
    components: str = "bridge",
    progress: Progress | None = None,
) -> Geometry:
    """Metrics of every token of the grids, or of a random sample of them, and the graph between the distinct ones.

    Args:
        decode: Takes one grid (h, w, d) to one image, in intensity units.
        grids: Latents (n, h, w, d).
        num_neighbours: Nearest neighbours k that a node is joined to.
        max_images: Grids that are measured; where there are more, so many are drawn at random. None measures all.
        probes: Random probes of sketched metrics, see `geovq.metric.batched.token_metrics`; None for exact ones.
        seed: Of every random choice.
        components: "bridge" joins the graph's components by the shortest edges between them; "drop" leaves them apart, as the
            original study did: then the codes come from the largest, and what lies in the others gets no valid token.
        progress: Called with the grids done while metrics are computed.

    Returns:
        The geometry.

    Raises:
        InputError: Bad latents or decoder, k not below the number of distinct latents, nothing to be drawn, or an unknown
            `components`.
    """
    if components not in COMPONENTS:
        raise InputError(f"components: expected one of {', '.join(COMPONENTS)}, found {components!r}.")
    if max_images is not None:
        grids = draw(grids, max_images, seed)
    metrics = token_metrics(decode, grids, probes=probes, seed=seed, plan=DEFAULT_PLAN, progress=progress)
    geometry = connect(grids, metrics, num_neighbours=num_neighbours, seed=seed, components=components)
    if probes is None:
        return geometry
    # All grids have the same probes, whose errors do not average out.
    some = draw(grids, _MEAN_GRIDS, seed)
    means = mean_metrics(decode, some, plan=DEFAULT_PLAN)
    return geometry._replace(
        mean_metric=means.overall.astype(np.float32), position_metrics=means.by_position.astype(np.float32)
    )


def draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows, drawn at random without replacement, in their order; all where there are no more."""
    if count < 1:
        raise InputError(f"max_images: expected at least 1, found {count}; measure some.")
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
    """`measure` where the metrics of the tokens, (n, h, w, d, d), are at hand already."""
    d = grids.shape[-1]
    merged = merge_duplicates(grids.reshape(-1, d))
    node_metrics = group_means(metrics.reshape(-1, d * d), merged).reshape(-1, d, d)
    found = nearest_neighbours(merged.points, num_neighbours, seed=seed)
    straight = neighbour_graph(found)
    arcs, dropped = straight.nnz, 0
    if components == "bridge":
        straight = bridge_components(straight, merged.points)
    else:
        dropped = len(merged.points) - len(largest_component(straight))
    bridges = (straight.nnz - arcs) // 2
    lengths = measure_edges(merged.points, node_metrics, *edges(straight))
    by_position = metrics.mean(axis=0, dtype=np.float64)
    mean = by_position.mean(axis=(0, 1))
    geodesic = reweight(straight, lengths)
    return Geometry(
        merged.points,
        merged.weights,
        node_metrics,
        mean.astype(np.float32),
        by_position.astype(np.float32),
        straight,
        geodesic,
        num_neighbours,
        found.recall,
        bridges,
        dropped,
    )
