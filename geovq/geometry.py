"""The measured latent space: sampled latents with their metrics, the graph between them, and where codes lie in it.

On R^d the pullback metric is a sampled field: it is known at latents that came out of images, each in the context of its own
grid. So distances are path lengths over those latents.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import dijkstra

from geovq.attachment import attach, nearest_label
from geovq.bridges import bridge_components
from geovq.checks import InputError, check_tokens
from geovq.chunks import Progress
from geovq.config import COMPONENTS
from geovq.decoders import Decoder
from geovq.duplicates import group_means, merge_duplicates
from geovq.execution import REPEATABLE
from geovq.graph import MIN_LENGTH, edges, largest_component, neighbour_graph, reweight
from geovq.lengths import edge_lengths
from geovq.metric import mean_metrics, token_metrics
from geovq.neighbours import nearest_neighbours, nearest_points
from geovq.shortest import nearest_medoid

# Grids over which the mean metric is taken exactly where the others are sketched.
_MEAN_GRIDS = 1000

# Codes whose distances to all nodes are held at once.
_CODES = 32


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
    neighbours: int
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
    neighbours: int,
    at_most: int | None = None,
    probes: int | None = None,
    seed: int = 0,
    components: str = "bridge",
    progress: Progress | None = None,
) -> Geometry:
    """Metrics of every token of the grids, or of a random sample of them, and the graph between the distinct ones.

    Args:
        decode: Takes one grid (h, w, d) to one image, in intensity units.
        grids: Latents (n, h, w, d).
        neighbours: Nearest neighbours k that a node is joined to.
        at_most: Grids that are measured; where there are more, so many are drawn at random. None measures all.
        probes: Random probes of sketched metrics, see `geovq.metric.token_metrics`; None for exact ones.
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
    if at_most is not None:
        grids = draw(grids, at_most, seed)
    metrics = token_metrics(decode, grids, probes=probes, seed=seed, plan=REPEATABLE, progress=progress)
    geometry = connect(grids, metrics, neighbours=neighbours, seed=seed, components=components)
    if probes is None:
        return geometry
    # All grids have the same probes, whose errors do not average out.
    some = draw(grids, _MEAN_GRIDS, seed)
    means = mean_metrics(decode, some, plan=REPEATABLE)
    return geometry._replace(
        mean_metric=means.overall.astype(np.float32), position_metrics=means.by_position.astype(np.float32)
    )


def draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows, drawn at random without replacement, in their order; all where there are no more."""
    if count < 1:
        raise InputError(f"at_most: expected at least 1, found {count}; measure some.")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]


def connect(
    grids: Float[np.ndarray, "n h w d"],
    metrics: Float[np.ndarray, "n h w d d"],
    *,
    neighbours: int,
    seed: int = 0,
    components: str = "bridge",
) -> Geometry:
    """`measure` where the metrics of the tokens, (n, h, w, d, d), are at hand already."""
    d = grids.shape[-1]
    merged = merge_duplicates(grids.reshape(-1, d))
    node_metrics = group_means(metrics.reshape(-1, d * d), merged).reshape(-1, d, d)
    found = nearest_neighbours(merged.points, neighbours, seed=seed)
    straight = neighbour_graph(found)
    arcs, dropped = straight.nnz, 0
    if components == "bridge":
        straight = bridge_components(straight, merged.points)
    else:
        dropped = len(merged.points) - len(largest_component(straight))
    bridges = (straight.nnz - arcs) // 2
    lengths = edge_lengths(merged.points, node_metrics, *edges(straight))
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
        neighbours,
        found.recall,
        bridges,
        dropped,
    )


class CodeGraph(NamedTuple):
    """The geometry's graph with K codes put into it, as its last K nodes."""

    n_sampled: int
    """Nodes that are sampled latents; the codes come after them."""
    nodes: Float[np.ndarray, "m d"]
    metrics: Float[np.ndarray, "m d d"]
    graph: scipy.sparse.csr_array
    """Pullback lengths, in intensity units."""
    neighbours: int
    """Nodes that a code, or a new latent, is joined to."""


def place_codes(geometry: Geometry, codes: Float[np.ndarray, "K d"]) -> CodeGraph:
    """Puts codes, whether data points or not, into the graph.

    A code is joined to its nearest nodes. It has no grid of its own, so it takes the metric of the nearest one.

    Args:
        geometry: The measured latents.
        codes: Codes (K, d).

    Returns:
        The graph of the geometry's nodes followed by the K codes.
    """
    m, k = len(geometry.nodes), len(codes)
    near, _ = nearest_points(geometry.nodes, codes, min(geometry.neighbours, m))
    nodes = np.concatenate([geometry.nodes, codes.astype(geometry.nodes.dtype)])
    metrics = np.concatenate([geometry.metrics, geometry.metrics[near[:, 0]]])
    senders, receivers = np.repeat(np.arange(m, m + k), near.shape[1]), near.ravel()
    joints = np.maximum(edge_lengths(nodes, metrics, senders, receivers), MIN_LENGTH)
    old = geometry.geodesic.tocoo()
    rows = np.concatenate([old.row, senders, receivers])
    columns = np.concatenate([old.col, receivers, senders])
    lengths = np.concatenate([old.data, joints, joints])
    graph = scipy.sparse.csr_array((lengths, (rows, columns)), shape=(m + k, m + k))
    return CodeGraph(m, nodes, metrics, graph, geometry.neighbours)


class CodeField(NamedTuple):
    """The nearest code of every node along the graph: all that is needed to assign new latents."""

    nodes: Float[np.ndarray, "m d"]
    metrics: Float[np.ndarray, "m d d"]
    labels: Int[np.ndarray, " m"]
    """Nearest code; K where no code can be reached (only with components="drop")."""
    distances: Float[np.ndarray, " m"]
    """Length of the path to it, in intensity units; infinite where there is none."""
    neighbours: int
    """Nodes that a new latent is joined to."""


def code_field(placed: CodeGraph) -> CodeField:
    """Nearest code of every node, in one pass from all codes at once."""
    codes = np.arange(placed.n_sampled, len(placed.nodes))
    labels, distances = nearest_medoid(placed.graph, codes, allow_unreachable=True)
    return CodeField(placed.nodes, placed.metrics, labels, distances, placed.neighbours)


def nearest_along(
    field: CodeField, latents: Float[np.ndarray, "n d"], metrics: Float[np.ndarray, "n d d"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nearest code of new latents along the graph: a measured edge to a node, then the node's own path.

    Args:
        field: Nearest code of every node.
        latents: New latents (n, d).
        metrics: Their metrics (n, d, d).

    Returns:
        Tokens (n,) int32, and lengths (n,) in intensity units; token K and an infinite length where no code can be reached.
    """
    return nearest_label(*_first_steps(field, latents, metrics), field.labels, field.distances)


def lengths_to_codes(
    placed: CodeGraph,
    latents: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    tokens: Int[np.ndarray, "n c"],
) -> Float[np.ndarray, "n c"]:
    """Length of the shortest path from each latent to codes that it was given, nearest or not.

    Args:
        placed: Codes in their graph.
        latents: Latents (n, d).
        metrics: Their metrics (n, d, d).
        tokens: Codes to measure to, c of them for every latent, in 0..K-1.

    Returns:
        Lengths (n, c), in intensity units.

    Raises:
        InputError: Tokens outside 0..K-1.
    """
    codes = np.arange(placed.n_sampled, len(placed.nodes))
    tokens = check_tokens(tokens, len(codes))
    near, first = _first_steps(placed, latents, metrics)
    lengths = np.empty(tokens.shape, np.float32)
    for start in range(0, len(codes), _CODES):
        to_nodes = dijkstra(placed.graph, directed=True, indices=codes[start : start + _CODES])
        rows, columns = np.nonzero((tokens >= start) & (tokens < start + _CODES))
        paths = to_nodes[tokens[rows, columns] - start, near[rows].T]  # (k, of these codes)
        lengths[rows, columns] = (first[rows].T + paths).min(axis=0)
    return lengths


def _first_steps(
    known: CodeGraph | CodeField, latents: np.ndarray, metrics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest nodes (n, k) of new latents, and the measured lengths of the edges to them."""
    k = min(known.neighbours, len(known.nodes))
    return attach(known.nodes, latents, k, node_metrics=known.metrics, point_metrics=metrics)
