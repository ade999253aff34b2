"""k-means under one metric, for one code a token or several."""

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

POINTS = 100_000
"""Latents that k-means looks at, drawn at random; more of them move the codes very little."""


def kmeans(
    points: Float[np.ndarray, "n d"], k: int, *, root: Float[np.ndarray, "d m"], seed: int
) -> tuple[Float[np.ndarray, "K d"], Int[np.ndarray, " n"]]:
    """Lloyd's k-means from a k-means++ start.

    Args:
        points: (n, d), with at least K distinct ones.
        k: Number of codes K.
        root: Distances are those of points @ root: the identity, the square root of a metric, or a projection.
        seed: Of the start.

    Returns:
        Means of the points of each cell, float32 (K, d), and the cell of each point (n,). A cell is empty only where fewer than
        K points are distinct after `root`; its code is one of the points then.
    """
    from sklearn.cluster import KMeans  # late: it takes longer to import than jax, and tokenizing needs none of it

    with threadpool_limits(1, user_api="openmp"):  # threads add up their sums in the order of arrival
        labels = KMeans(k, n_init=1, random_state=seed).fit(points @ root).labels_
    counts = np.bincount(labels, minlength=k)
    sums = np.zeros((k, points.shape[1]))
    np.add.at(sums, labels, points)
    empty = counts == 0
    sums[empty], counts[empty] = points[: empty.sum()], 1
    return (sums / counts[:, None]).astype(np.float32), labels


def residual_kmeans(
    points: Float[np.ndarray, "n d"], k: int, num_quantizers: int, *, root: Float[np.ndarray, "d d"], seed: int
) -> Float[np.ndarray, "S K d"]:
    """Quantizers each of which holds the means of what the ones before it leave over; arguments as `kmeans`."""
    found, residual = [], points
    for s in range(num_quantizers):
        codes, labels = kmeans(residual, k, root=root, seed=seed + s)
        found.append(codes)
        residual = residual - codes[labels]
    return np.stack(found)


def product_kmeans(
    points: Float[np.ndarray, "n d"], k: int, num_quantizers: int, *, root: Float[np.ndarray, "d d"], seed: int
) -> Float[np.ndarray, "S K d"]:
    """Quantizers with directions of their own, orthogonal under the metric and of about equal spread; arguments as `kmeans`.

    Principal directions, by falling variance, go to the quantizer whose variances have the least product so far, as in optimized
    product quantization (Ge, He, Ke & Sun 2013).
    """
    mean = points.mean(axis=0)
    _, spread, directions = np.linalg.svd((points - mean) @ root, full_matrices=False)
    groups = _balance(spread, num_quantizers)
    back = np.linalg.pinv(root.astype(np.float64))
    found = []
    for s, group in enumerate(groups):
        onto = root @ directions[group].T  # the coordinates along this quantizer's directions
        inside = onto @ directions[group] @ back
        codes, _ = kmeans((points - mean) @ inside, k, root=onto, seed=seed + s)
        found.append(codes)
    found[0] = found[0] + mean
    return np.stack(found).astype(np.float32)


def _balance(spread: Float[np.ndarray, " d"], groups: int) -> list[list[int]]:
    """Indices of directions, divided so that the products of their spreads are about equal and none is left without."""
    found: list[list[int]] = [[] for _ in range(groups)]
    logs = np.log(np.maximum(spread, 1e-6 * spread.max()))
    logs = logs - logs.min()  # all at least 0, so that a group grows with what it gets
    for index in np.argsort(-spread, kind="stable"):
        empty = [group for group in found if not group]
        min(empty or found, key=lambda group: sum(logs[group])).append(int(index))
    return found
