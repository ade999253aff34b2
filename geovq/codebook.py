"""Latents -> codes. One codebook of K codes serves all positions of the grid.

| name      | codes                                                            |
|-----------|------------------------------------------------------------------|
| kmeans    | means of cells that are compact in latent distance               |
| euclidean | medoids of the k-NN graph with Euclidean lengths                 |
| geodesic  | medoids of the same graph with pullback lengths                  |
"""

import numpy as np
from jaxtyping import Float
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from geovq.checks import InputError, check_points
from geovq.config import CODEBOOKS
from geovq.geometry import Geometry
from geovq.graph import largest_component
from geovq.medoids import Progress, k_medoids

_KMEANS_POINTS = 100_000
"""Latents that k-means looks at; more of them move the codes very little."""


def fit_codes(
    name: str,
    latents: Float[np.ndarray, "n d"],
    geometry: Geometry,
    k: int,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Float[np.ndarray, "K d"]:
    """Codes of the named codebook.

    Args:
        name: One of CODEBOOKS.
        latents: All training latents (n, d); k-means draws from them.
        geometry: The measured sample of them; medoids are chosen among its nodes.
        k: Number of codes K.
        seed: Of every random choice.
        progress: Called by the search for medoids.

    Returns:
        float32 (K, d).

    Raises:
        InputError: Unknown name, or K larger than the number of distinct latents.
    """
    if name == "kmeans":
        return kmeans_codes(latents, k, seed=seed)
    if name not in CODEBOOKS:
        raise InputError(f"codebook: expected one of {', '.join(CODEBOOKS)}, found {name!r}.")
    graph = geometry.straight if name == "euclidean" else geometry.geodesic
    inside = largest_component(graph)
    _check_enough(k, len(inside), "distinct latents in the graph's largest component")
    found = k_medoids(graph[inside][:, inside], k, weights=geometry.weights[inside], seed=seed, progress=progress)
    return geometry.nodes[inside][found.medoids].astype(np.float32)


def kmeans_codes(latents: Float[np.ndarray, "n d"], k: int, *, seed: int) -> Float[np.ndarray, "K d"]:
    """Lloyd's k-means, from a k-means++ start, on at most 100,000 of the latents, drawn at random.

    Args:
        latents: (n, d).
        k: Number of codes K.
        seed: Of the draw and the start.

    Returns:
        float32 (K, d).

    Raises:
        InputError: NaN, or K larger than the number of distinct latents.
    """
    latents = check_points("latents", latents)
    if len(latents) > _KMEANS_POINTS:
        latents = latents[np.sort(np.random.default_rng(seed).choice(len(latents), _KMEANS_POINTS, replace=False))]
    _check_enough(k, len(np.unique(latents, axis=0)), "distinct latents")
    with threadpool_limits(1, user_api="openmp"):  # threads add up their sums in the order of arrival
        means = KMeans(k, n_init=1, random_state=seed).fit(latents).cluster_centers_
    return means.astype(np.float32)


def _check_enough(k: int, available: int, what: str) -> None:
    if not isinstance(k, (int, np.integer)):
        raise InputError(f"codes: expected an integer K, found {k!r}; round it.")
    if not 1 <= k <= available:
        raise InputError(
            f"codes: expected K in 1..{available}, the number of {what}, found {k}; ask for fewer codes or give more images."
        )
