"""New points attached to a graph by edges to their nearest nodes, which are measured like all others."""

import numpy as np
from jaxtyping import Float, Int, Int32

from geovq.graph.neighbours import nearest_points
from geovq.metric.edge_lengths import measure_edges
from geovq.validation import InputError

# Points at once: bounds the memory at about 8 kB · k a point for metrics of 16 dimensions.
_CHUNK = 512


def attach_points(
    nodes: Float[np.ndarray, "n d"],
    points: Float[np.ndarray, "q d"],
    k: int,
    *,
    node_metrics: Float[np.ndarray, "n d d"] | None = None,
    point_metrics: Float[np.ndarray, "q d d"] | None = None,
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """Edges from each point to its nearest nodes, in Euclidean distance. Points do not influence each other.

    Args:
        nodes: Points of the graph (n, d).
        points: New points (q, d).
        k: Edges of each, at most n.
        node_metrics: Metrics at the nodes (n, d, d); None for Euclidean lengths.
        point_metrics: Metrics at the new points (q, d, d), where the nodes have some.

    Returns:
        The nodes, nearest first, and the lengths of the edges: in intensity units by `geovq.metric.edge_lengths.edge_length`,
        or Euclidean.

    Raises:
        InputError: Metrics at the nodes without metrics at the points, or the reverse; k outside 1..n.
    """
    if (node_metrics is None) != (point_metrics is None):
        raise InputError("metrics: expected metrics at nodes and points, or none, found only one of them; give both.")
    near, lengths = nearest_points(nodes, points, k)
    if node_metrics is None or point_metrics is None:
        return near, lengths
    measured = np.empty(near.shape, np.result_type(nodes, node_metrics, np.float32))
    for start in range(0, len(points), _CHUNK):
        some = slice(start, start + _CHUNK)
        of_chunk = near[some].ravel()
        q = len(points[some])
        ends = np.concatenate([points[some], nodes[of_chunk]])
        metrics = np.concatenate([point_metrics[some], node_metrics[of_chunk]])
        measured[some] = measure_edges(ends, metrics, np.repeat(np.arange(q), k), q + np.arange(q * k)).reshape(q, k)
    return near, measured


def nearest_label(
    near: Int[np.ndarray, "q k"],
    steps: Float[np.ndarray, "q k"],
    labels: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
) -> tuple[Int32[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Nearest medoid of new points: over one of their edges, then along the shortest path of that node.

    Args:
        near: Nodes that each point is attached to.
        steps: Lengths of the edges.
        labels: Nearest medoid of every node.
        distances: Length of the path to it.

    Returns:
        Labels and lengths (q,).
    """
    lengths = steps + distances[near]
    best = lengths.argmin(axis=1)[:, None]
    tokens = np.take_along_axis(labels[near], best, axis=1)[:, 0]
    return tokens.astype(np.int32), np.take_along_axis(lengths, best, axis=1)[:, 0]
