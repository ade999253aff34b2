"""Latents -> codes. One codebook serves all positions of the grid.

| name      | codes                                                                              |
|-----------|------------------------------------------------------------------------------------|
| kmeans    | means of cells that are compact in latent distance                                 |
| whitened  | means of cells that are compact under the mean metric of the data                  |
| metric    | metric means of cells that are compact under each token's own metric               |
| refined   | those, moved to where the images of `joint` tokens are best (geovq.codebook.refine)         |
| euclidean | medoids of the k-NN graph with Euclidean lengths                                   |
| geodesic  | medoids of the same graph with pullback lengths                                    |
"""

import numpy as np
from jaxtyping import Float

from geovq.assignment.nearest import assign_whitened
from geovq.codebook.metric_kmeans import lloyd
from geovq.codebook.names import CODEBOOKS, COMPOSITIONS, OF_MEANS
from geovq.geometry.measured import Geometry, draw
from geovq.graph.csr import largest_component
from geovq.medoids.search import Progress, k_medoids
from geovq.numerics.additive import MAX_STAGES
from geovq.numerics.kmeans import POINTS, kmeans, product_stages, residual_stages
from geovq.numerics.linalg import square_root
from geovq.validation import InputError, check_points, check_whole

_TRIES = 10
"""Times that dead codes are moved; moving some may take the latents of others."""


def fit_codes(
    name: str,
    latents: Float[np.ndarray, "n d"],
    geometry: Geometry,
    k: int,
    *,
    stages: int = 1,
    stacking: str = "residual",
    seed: int,
    progress: Progress | None = None,
) -> Float[np.ndarray, "..."]:
    """Codes of the named codebook; those of `refined` before they are refined.

    Args:
        name: One of CODEBOOKS.
        latents: All training latents (n, d); k-means draws from them.
        geometry: The measured sample of them: own metrics and medoids come from its nodes.
        k: Number of codes K, of each stage.
        stages: Codes of a token.
        stacking: "residual" or "product", where there are several, see `geovq.numerics.additive`.
        seed: Of every random choice.
        progress: Called by the search for medoids.

    Returns:
        float32 (K, d), or (S, K, d) with several stages. Each of (K, d) stands for at least one of the latents that it was
        fitted to, under the distance that it was fitted by.

    Raises:
        InputError: Unknown name or stacking, K larger than the number of distinct latents, or stages that there cannot be.
    """
    latents = check_points("latents", latents)
    check_recipe(name, k, stages, stacking, latents.shape[1])
    if name not in OF_MEANS:
        return _medoids(name, geometry, k, seed, progress)
    sample = draw(latents, POINTS, seed)
    _check_enough(k, len(np.unique(sample, axis=0)), "distinct latents")
    root = np.eye(latents.shape[1], dtype=np.float32) if name == "kmeans" else square_root(geometry.mean_metric)
    if stages == 1:
        codes = kmeans(sample, k, root=root, seed=seed)[0][None]
    elif stacking == "residual":
        codes = residual_stages(sample, k, stages, root=root, seed=seed)
    else:
        codes = product_stages(sample, k, stages, root=root, seed=seed)
    if name in ("metric", "refined"):
        _check_enough(k, len(geometry.nodes), "measured latents")
        codes = lloyd(geometry.nodes, geometry.metrics, geometry.weights, codes, mean_metric=geometry.mean_metric).codes
    return codes[0] if stages == 1 else codes


def without_dead(
    codes: Float[np.ndarray, "K d"], latents: Float[np.ndarray, "n d"], mean_metric: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "K d"]:
    """Codes each of which some latent is nearest to under the mean metric.

    Args:
        codes: (K, d).
        latents: At least K distinct ones (n, d).
        mean_metric: (d, d).

    Returns:
        The codes; a dead one has become the latent that was farthest from its own code. Where two latents cannot be told apart
        under the metric, one may stay dead.
    """
    codes, root = codes.copy(), square_root(mean_metric)
    for _ in range(_TRIES):
        tokens = assign_whitened(latents, codes, mean_metric)
        dead = np.flatnonzero(np.bincount(tokens, minlength=len(codes)) == 0)
        if len(dead) == 0:
            break
        errors = (((latents - codes[tokens]) @ root) ** 2).sum(axis=1)
        codes[dead] = latents[np.argsort(-errors, kind="stable")[: len(dead)]]
    return codes


def _medoids(name: str, geometry: Geometry, k: int, seed: int, progress: Progress | None) -> Float[np.ndarray, "K d"]:
    graph = geometry.straight if name == "euclidean" else geometry.geodesic
    inside = largest_component(graph)
    _check_enough(k, len(inside), "distinct latents in the graph's largest component")
    found = k_medoids(graph[inside][:, inside], k, weights=geometry.weights[inside], seed=seed, progress=progress)
    return geometry.nodes[inside][found.medoids].astype(np.float32)


def check_recipe(name: str, k: int, stages: int, stacking: str, d: int) -> None:
    """Refuses a codebook that there cannot be, whatever the latents of d dimensions.

    Raises:
        InputError: Unknown name or stacking, codes that are not a whole number, or stages that the codebook cannot have.
    """
    if name not in CODEBOOKS:
        raise InputError(f"codebook: expected one of {', '.join(CODEBOOKS)}, found {name!r}; choose one of them.")
    check_whole("codes", k, 0)
    check_whole("stages", stages)
    if stacking not in COMPOSITIONS:
        raise InputError(
            f"stacking: expected one of {', '.join(COMPOSITIONS)}, found {stacking!r}; choose one of them."
        )
    most = 1 if name not in OF_MEANS else min(MAX_STAGES, d) if stacking == "product" else MAX_STAGES
    if not 1 <= stages <= most:
        raise InputError(
            f"stages: expected 1..{most} for the codebook {name} and {d} latent dimensions, found {stages}; take fewer, or one "
            f"of {', '.join(OF_MEANS)}."
        )


def _check_enough(k: int, available: int, what: str) -> None:
    if not 1 <= k <= available:
        raise InputError(
            f"codes: expected K in 1..{available}, the number of {what}, found {k}; ask for fewer codes or give more images."
        )
