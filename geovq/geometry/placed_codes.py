"""Codes in the measured graph: the nearest code of new latents, and lengths of paths to codes."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import dijkstra

from geovq.geometry.measured import Geometry
from geovq.graph.attach import attach_points, nearest_label
from geovq.graph.csr import shortest_length
from geovq.graph.neighbours import nearest_points
from geovq.medoids.nearest import label_nodes
from geovq.metric.edge_lengths import measure_edges
from geovq.validation import check_tokens

_CODES = 32
"""Codes whose distances to all nodes are held at once."""


class CodeGraph(NamedTuple):
    """The geometry's graph with K codes put into it, as its last K nodes."""

    n_sampled: int
    """Nodes that are sampled latents; the codes come after them."""
    nodes: Float[np.ndarray, "m d"]
    metrics: Float[np.ndarray, "m d d"]
    graph: scipy.sparse.csr_array
    """Pullback lengths, in intensity units."""
    num_neighbours: int
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
    near, _ = nearest_points(geometry.nodes, codes, min(geometry.num_neighbours, m))
    nodes = np.concatenate([geometry.nodes, codes.astype(geometry.nodes.dtype)])
    metrics = np.concatenate([geometry.metrics, geometry.metrics[near[:, 0]]])
    senders, receivers = np.repeat(np.arange(m, m + k), near.shape[1]), near.ravel()
    joints = measure_edges(nodes, metrics, senders, receivers)
    joints = np.maximum(joints, shortest_length(np.append(geometry.geodesic.data, joints)))
    old = geometry.geodesic.tocoo()
    rows = np.concatenate([old.row, senders, receivers])
    columns = np.concatenate([old.col, receivers, senders])
    lengths = np.concatenate([old.data, joints, joints])
    graph = scipy.sparse.csr_array((lengths, (rows, columns)), shape=(m + k, m + k))
    return CodeGraph(m, nodes, metrics, graph, geometry.num_neighbours)


class CodeField(NamedTuple):
    """The nearest code of every node along the graph: enough to assign new latents."""

    nodes: Float[np.ndarray, "m d"]
    metrics: Float[np.ndarray, "m d d"]
    labels: Int[np.ndarray, " m"]
    """Nearest code; K where no code can be reached (only with components="drop")."""
    distances: Float[np.ndarray, " m"]
    """Length of the path to it, in intensity units; infinite where there is none."""
    num_neighbours: int
    """Nodes that a new latent is joined to."""


def code_field(placed: CodeGraph) -> CodeField:
    """Nearest code of every node, in one pass from all codes at once."""
    codes = np.arange(placed.n_sampled, len(placed.nodes))
    labels, distances = label_nodes(placed.graph, codes)
    return CodeField(placed.nodes, placed.metrics, labels, distances, placed.num_neighbours)


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
    """Length of the shortest path from each latent to given codes.

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
    k = min(known.num_neighbours, len(known.nodes))
    return attach_points(known.nodes, latents, k, node_metrics=known.metrics, point_metrics=metrics)
