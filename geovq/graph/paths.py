"""Shortest paths of a graph as polylines of latents."""

import numpy as np
from jaxtyping import Float, Int

from geovq.validation import InputError, check_points, check_whole


def resample(
    points: Float[np.ndarray, "r d"], segments: int, lengths: Float[np.ndarray, " r_1"] | None = None
) -> Float[np.ndarray, "s1 d"]:
    """Points equally spaced along a polyline of latents, such as a path of the graph.

    Args:
        points: Corners (r, d), r >= 1.
        segments: Steps s >= 1. With fewer than the polyline has, corners are cut.
        lengths: Of the r - 1 sides; None takes Euclidean lengths.

    Returns:
        (s + 1, d), from the first corner to the last, both exact.

    Raises:
        InputError: Not a non-empty (r, d) array, NaN or infinity, lengths that do not fit or are negative, or no segment.
    """
    points = check_points("points", points)
    check_whole("segments", segments)
    sides = np.linalg.norm(np.diff(points, axis=0), axis=1) if lengths is None else np.asarray(lengths)
    if sides.shape != (len(points) - 1,) or not (sides >= 0).all():
        raise InputError(
            f"lengths: expected {len(points) - 1} values >= 0, one for each side, found shape {sides.shape} with a minimum of "
            f"{sides.min(initial=0):g}; measure every side."
        )
    reached = np.concatenate([[0], np.cumsum(sides, dtype=np.float64)])
    wanted = np.linspace(0, reached[-1], segments + 1)
    spaced = np.stack([np.interp(wanted, reached, column) for column in points.T], axis=1).astype(points.dtype)
    spaced[0], spaced[-1] = points[0], points[-1]
    return spaced


def node_path(predecessors: Int[np.ndarray, " n"], source: int, target: int) -> Int[np.ndarray, " r"]:
    """Nodes of a shortest path, both ends included.

    Args:
        predecessors: Of every node on its path from the source: a row of what `scipy.sparse.csgraph.dijkstra` returns.
        source: First node.
        target: Last node.

    Returns:
        (r,); one node where the ends are the same.

    Raises:
        InputError: There is no path.
    """
    nodes = [target]
    while nodes[-1] != source:
        before = int(predecessors[nodes[-1]])
        if before < 0 or len(nodes) > len(predecessors):
            raise InputError(
                f"graph: expected a path from node {source} to node {target}, found none; bridge its components, and pass "
                "the predecessors of that source."
            )
        nodes.append(before)
    return np.array(nodes[::-1])
