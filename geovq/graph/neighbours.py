"""Nearest neighbours of every point: exact for small sets, by nearest-neighbour descent for large ones.

| method  | finds                               | package      | time on two CPU cores                      |
|---------|-------------------------------------|--------------|--------------------------------------------|
| exact   | the k nearest                       | SciPy        | grows with n log n at best, with n² in many dimensions |
| descent | nearly all of them, a little farther ones instead of the rest | pynndescent | nearly linear in n; compiles first |
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from geovq.validation import InputError, check_choice, check_points, check_seed, check_whole

METHODS = ("auto", "exact", "descent")

EXACT_BELOW = 50_000
"""`auto` is exact for fewer points than this."""

RECALL_SAMPLE = 2000
"""Points whose neighbours are found exactly to measure the recall."""

# Descent looks for more neighbours than it is asked for: with k alone it finds 99.1% of FashionMNIST's, with these 99.95%.
_SPARE = 0.7


class Neighbours(NamedTuple):
    """The k nearest other points of every point.

    Attributes:
        nodes: Which they are (n, k), nearest first; never the point itself.
        lengths: How far they are (n, k), in the units of the points.
        method: "exact" or "descent".
        recall: Fraction of the true k nearest that were found, over a sample of points; 1 for "exact".
    """

    nodes: Int[np.ndarray, "n k"]
    lengths: Float[np.ndarray, "n k"]
    method: str
    recall: float


def nearest_neighbours(points: Float[np.ndarray, "n d"], k: int, *, method: str = "auto", seed: int = 0) -> Neighbours:
    """The k nearest neighbours of every point, in Euclidean length.

    Copies of a point are neighbours at length 0; merge them first where there are many (`geovq.graph.deduplicate`).

    Args:
        points: (n, d).
        k: Neighbours of each point, 1 <= k < n.
        method: "exact", "descent" (Dong et al. 2011, "Efficient k-nearest neighbor graph construction for generic similarity
            measures"), or "auto": exact below EXACT_BELOW points, and where pynndescent is not installed.
        seed: Of descent, and of the sample that its recall is measured on. The same seed finds the same.

    Returns:
        Neighbours, and the recall.

    Raises:
        InputError: k outside 1..n-1, an unknown method, "descent" without pynndescent, not a non-empty (n, d) array, NaN or
            infinity, points too far apart for floats.
    """
    points = check_points("points", points)
    n = len(points)
    check_whole("k", k, 1, n - 1, "ask for fewer neighbours or give more points")
    check_choice("method", method, METHODS)
    check_seed(seed)
    if method == "descent" or (method == "auto" and n >= EXACT_BELOW):
        found = _descend(points, k, seed, required=method == "descent")
        if found is not None:
            return Neighbours(*found, "descent", recall(points, found[1], seed=seed))
    nodes, lengths = _without_self(*_exact(points, points, k + 1), np.arange(n))
    return Neighbours(nodes, lengths, "exact", 1.0)


def nearest_points(
    points: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "q d"], k: int
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """Exactly the k points nearest to each query, nearest first, and how far they are.

    Raises:
        InputError: k outside 1..n.
    """
    check_whole("k", k, 1, len(points), "ask for fewer points")
    return _exact(points, queries, k)


def recall(points: Float[np.ndarray, "n d"], lengths: Float[np.ndarray, "n k"], *, seed: int = 0) -> float:
    """Fraction of the true k nearest neighbours that were found, over RECALL_SAMPLE points drawn at random.

    By length: a neighbour counts that is no farther than the k-th nearest truly is, so that ties count.

    Args:
        points: (n, d).
        lengths: Lengths of the neighbours that were found for every point (n, k).
        seed: Of the draw.

    Returns:
        In [0, 1].
    """
    sample = np.random.default_rng(seed).permutation(len(points))[:RECALL_SAMPLE]
    nodes, exact = _exact(points, points[sample], lengths.shape[1] + 1)
    _, exact = _without_self(nodes, exact, sample)
    return float((lengths[sample] <= exact[:, -1:] * (1 + 1e-6)).mean())


def _exact(points: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    lengths, nodes = cKDTree(points).query(queries, k=np.arange(1, k + 1), workers=-1)
    if not np.isfinite(lengths).all():
        raise InputError(
            "points: expected distances that a float can hold, found coordinates too far apart; rescale them."
        )
    return nodes, lengths


def _without_self(nodes: np.ndarray, lengths: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All neighbours but the point itself, which a point with more than k copies may not be told: then the last goes."""
    dropped = nodes == own[:, None]
    dropped[~dropped.any(axis=1), -1] = True
    kept = (len(nodes), nodes.shape[1] - 1)
    return nodes[~dropped].reshape(kept), lengths[~dropped].reshape(kept)


def _descend(points: np.ndarray, k: int, seed: int, *, required: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Approximate neighbours by their lengths in float64; None for a set too small for it, and where pynndescent is missing."""
    try:
        from pynndescent import NNDescent  # compiles on import, so only large sets pay for it
    except ImportError as error:
        if required:
            raise InputError(
                "method: expected pynndescent to be installed for 'descent', found none; install it or ask for 'exact'."
            ) from error
        warnings.warn(
            f"pynndescent is not installed, so the neighbours of {len(points):,} points are found exactly, which takes long; "
            "install pynndescent.",
            stacklevel=3,
        )
        return None
    wanted = k + 1 + math.ceil(_SPARE * k)
    if wanted >= len(points):
        return None
    centred = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float32)  # it works in float32
    nodes = NNDescent(centred, n_neighbors=wanted, random_state=seed).neighbor_graph[0][:, : k + 1].astype(np.int64)
    lost = np.flatnonzero((nodes < 0).any(axis=1))  # descent can get stuck among many copies
    if len(lost):
        nodes[lost], _ = _exact(points, points[lost], k + 1)
    nodes, lengths = _without_self(nodes, np.zeros(nodes.shape), np.arange(len(points)))
    for column in range(k):
        lengths[:, column] = np.linalg.norm(points[nodes[:, column]].astype(np.float64) - points, axis=1)
    order = np.argsort(lengths, axis=1, kind="stable")
    return np.take_along_axis(nodes, order, axis=1), np.take_along_axis(lengths, order, axis=1)
