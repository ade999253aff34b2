"""k-means under one metric, for one codebook or for several whose codes add up."""

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

POINTS = 100_000
"""Latents that k-means sees, drawn at random; more of them change the codes very little."""


def kmeans(
    points: Float[np.ndarray, "n d"], num_codes: int, *, root: Float[np.ndarray, "d m"], seed: int
) -> tuple[Float[np.ndarray, "K d"], Int[np.ndarray, " n"]]:
    """Lloyd's k-means from a k-means++ start.

    Args:
        points: (n, d), with at least K distinct ones.
        num_codes: Number of codes K.
        root: Distances are taken after `points @ root`: the identity, the square root of a metric, or a projection.
        seed: Of the start.

    Returns:
        Means of the points of each cell, float32 (K, d), and the cell of each point (n,). A cell is empty only where fewer than
        K points are distinct after `root`; its code is one of the points then.
    """
    from sklearn.cluster import KMeans  # late: it takes longer to import than jax, and tokenizing needs none of it

    with threadpool_limits(1, user_api="openmp"):  # threads add up their sums in the order of arrival
        labels = KMeans(num_codes, n_init=1, random_state=seed).fit(points @ root).labels_
    counts = np.bincount(labels, minlength=num_codes)
    sums = np.zeros((num_codes, points.shape[1]))
    np.add.at(sums, labels, points)
    empty = counts == 0
    sums[empty], counts[empty] = points[: empty.sum()], 1
    return (sums / counts[:, None]).astype(np.float32), labels


def residual_codes(
    points: Float[np.ndarray, "n d"], num_codes: int, num_quantizers: int, *, root: Float[np.ndarray, "d d"], seed: int
) -> Float[np.ndarray, "S K d"]:
    """Codebooks of which each holds means of the residuals that the ones before leave; arguments as `kmeans`."""
    found, residuals = [], points
    for s in range(num_quantizers):
        codes, labels = kmeans(residuals, num_codes, root=root, seed=seed + s)
        found.append(codes)
        residuals = residuals - codes[labels]
    return np.stack(found)


def product_codes(
    points: Float[np.ndarray, "n d"], num_codes: int, num_quantizers: int, *, root: Float[np.ndarray, "d d"], seed: int
) -> Float[np.ndarray, "S K d"]:
    """Codebooks with directions of their own, orthogonal under the metric and of about equal spread; arguments as `kmeans`.

    Principal directions, by falling variance, go to the codebook whose variances have the least product so far, as in optimized
    product quantization (Ge, He, Ke & Sun 2013).
    """
    mean = points.mean(axis=0)
    _, spread, directions = np.linalg.svd((points - mean) @ root, full_matrices=False)
    groups = _balance(spread, num_quantizers)
    back = np.linalg.pinv(root.astype(np.float64))
    found = []
    for s, group in enumerate(groups):
        onto = root @ directions[group].T  # the coordinates along this codebook's directions
        inside = onto @ directions[group] @ back
        codes, _ = kmeans((points - mean) @ inside, num_codes, root=onto, seed=seed + s)
        found.append(codes)
    found[0] = found[0] + mean
    return np.stack(found).astype(np.float32)


def _balance(spread: Float[np.ndarray, " d"], groups: int) -> list[list[int]]:
    """Indices of directions in groups, none of them empty, whose products of spreads are about equal."""
    found: list[list[int]] = [[] for _ in range(groups)]
    logs = np.log(np.maximum(spread, 1e-6 * spread.max()))
    logs = logs - logs.min()  # all at least 0, so that a group grows with what it gets
    for index in np.argsort(-spread, kind="stable"):
        empty = [group for group in found if not group]
        min(empty or found, key=lambda group: sum(logs[group])).append(int(index))
    return found
