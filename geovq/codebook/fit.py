"""Latents and their geometry -> a codebook. One codebook serves all positions of the grid.

| name      | codes                                                                                     |
|-----------|-------------------------------------------------------------------------------------------|
| kmeans    | means of cells that are compact in latent distance                                        |
| whitened  | means of cells that are compact under the mean metric of the data                         |
| metric    | metric means of cells that are compact under each token's own metric                      |
| refined   | metric codes, moved to where the images of joint tokens are best (geovq.codebook.refine)  |
| euclidean | medoids of the k-NN graph with Euclidean lengths                                          |
| geodesic  | medoids of the same graph with pullback lengths                                           |
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.base import Codebook
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.codebook.dead_codes import revive_whitened
from geovq.codebook.metric_kmeans import metric_kmeans
from geovq.codebook.names import OF_MEANS
from geovq.codebook.recipe import STATISTICS, Recipe, StatisticsName, check_enough, check_recipe, needed_statistics
from geovq.codebook.refine import refine_codes
from geovq.codebook.step_metric import FitCodes
from geovq.decoder.adapters import single
from geovq.geometry.measured import Geometry, Means, MeasuredTokens, Statistics, draw
from geovq.graph.csr import largest_component
from geovq.medoids.search import Progress as MedoidProgress
from geovq.medoids.search import k_medoids
from geovq.numerics.kmeans import POINTS, kmeans, product_codes, residual_codes
from geovq.numerics.linalg import eigen_root
from geovq.validation import InputError, check_images, check_points

_REFINING_TOKENS = 9_600
"""Tokens by whose reconstructions a `refined` codebook is moved: of 600 images with 4x4 grids, and of 9 with 32x32."""

_ROUGH_POINTS = 30
"""Latents of a code where metrics are compared."""


def fit_codebook(
    recipe: Recipe,
    decode: Callable,
    images: np.ndarray,
    latents: Float[np.ndarray, "n h w d"],
    statistics: Statistics,
    *,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
    medoid_progress: MedoidProgress | None = None,
) -> Codebook:
    """The codebook that a recipe names.

    Args:
        recipe: Which codebook.
        decode: Decoder of batches.
        images: Training images (n, H, W, C), uint8 or floats in [0, 1]; only `refined` looks at some.
        latents: What the encoder made of them.
        statistics: What was measured of the latents.
        plan: How much at once and on which devices, where codes are refined by the decoder.
        progress: Called while codes are refined, with the images done of each round.
        medoid_progress: Called by the search for medoids.

    Returns:
        Codes and mean metrics.

    Raises:
        InputError: A recipe that these latents or statistics do not allow.
    """
    flat = latents.reshape(-1, latents.shape[-1])
    codes = fit_codes(recipe, flat, statistics, progress=medoid_progress)
    codebook = Codebook(codes, np.asarray(statistics.position_metrics, np.float32))
    if recipe.name != "refined":
        return codebook
    chosen = refining_images(recipe, len(images), latents[0, ..., 0].size)
    return refine_codebook(
        decode, check_images(images[chosen]), latents[chosen], codebook, flat, statistics, plan=plan, progress=progress
    )


def refining_images(recipe: Recipe, n: int, tokens: int) -> Int[np.ndarray, " m"]:
    """Indices of the images, out of n with so many tokens each, by which a `refined` codebook is moved."""
    return np.random.default_rng(recipe.seed).permutation(n)[: max(1, _REFINING_TOKENS // tokens)]


def refine_codebook(
    decode: Callable,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    codebook: Codebook,
    sample: Float[np.ndarray, "m d"],
    statistics: Statistics,
    *,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Codebook:
    """A codebook `metric`, moved to where joint tokens of some images decode best.

    Args:
        decode: Decoder of batches.
        images: Training images in [0, 1], see `refining_images`.
        latents: What the encoder made of them.
        codebook: The codes to begin with.
        sample: Training latents, of which a single quantizer leaves no code without any.
        statistics: What was measured of them.
        plan: How much at once and on which devices the decoder is run.
        progress: Called with the images done of each round.
    """
    refined = refine_codes(single(decode), images, latents, codebook, plan=plan, progress=progress)
    if codebook.num_quantizers > 1:
        return codebook._replace(codes=refined.codes)
    return codebook._replace(codes=revive_whitened(refined.codes[0], sample, statistics.mean_metric)[None])


def fit_codes(
    recipe: Recipe, latents: Float[np.ndarray, "n d"], statistics: Statistics, *, progress: MedoidProgress | None = None
) -> Float[np.ndarray, "S K d"]:
    """Codes of the codebook that a recipe names; those of `refined` before they are refined.

    Args:
        recipe: Which codebook.
        latents: All training latents (n, d); k-means draws from them.
        statistics: What was measured of them: `Means` for `kmeans` and `whitened`, `MeasuredTokens` for `metric` and `refined`,
            the `Geometry` for medoids.
        progress: Called by the search for medoids.

    Returns:
        float32 (S, K, d). With S = 1 each code stands for at least one of the latents that it was fitted to, under the distance
        that it was fitted by.

    Raises:
        InputError: A recipe that there cannot be, one for which too little was measured, or K larger than the number of distinct
            latents.
    """
    latents = check_points("latents", latents)
    check_recipe(recipe, latents.shape[1])
    check_statistics(recipe, statistics)
    if isinstance(statistics, Geometry) and recipe.name not in OF_MEANS:
        return _medoids(recipe, statistics, progress)[None]
    sample = _draw_enough(recipe, latents)
    euclidean = recipe.name == "kmeans"
    root = np.eye(latents.shape[1], dtype=np.float32) if euclidean else eigen_root(statistics.mean_metric)
    codes = _means(recipe, sample, root)
    if not isinstance(statistics, Means) and recipe.name in ("metric", "refined"):
        nodes, weights, metrics = statistics.nodes, statistics.weights, statistics.metrics
        check_enough(recipe.num_codes, len(nodes), "measured latents")
        codes = metric_kmeans(nodes, metrics, weights, codes, mean_metric=statistics.mean_metric).codes
    return codes


def rough_codes(recipe: Recipe, latents: Float[np.ndarray, "n d"]) -> FitCodes:
    """Codes `whitened` by any metric, of 30 latents each: good enough to compare metrics by.

    Args:
        recipe: How many codes; its name does not count.
        latents: Training latents.

    Raises:
        InputError: K larger than the number of distinct latents.
    """
    sample = _draw_enough(recipe, latents)
    few = draw(sample, _ROUGH_POINTS * recipe.num_codes, recipe.seed)
    if len(np.unique(few, axis=0)) < recipe.num_codes:
        few = sample
    return lambda root: _means(recipe, few, root)


def statistics_name(statistics: Statistics) -> StatisticsName:
    """How much was measured."""
    if isinstance(statistics, Geometry):
        return "graph"
    return "tokens" if isinstance(statistics, MeasuredTokens) else "means"


def check_statistics(recipe: Recipe, statistics: Statistics) -> None:
    """Refuses a codebook for which too little was measured.

    Raises:
        InputError: With what was measured, and what to measure.
    """
    needed, found = needed_statistics(recipe.name), statistics_name(statistics)
    if STATISTICS.index(found) < STATISTICS.index(needed):
        raise InputError(
            f"measured: expected statistics {needed!r}, which the codebook {recipe.name} is made of, found {found!r}; call "
            f"geovq.measure(..., statistics={needed!r})."
        )


def _draw_enough(recipe: Recipe, latents: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m d"]:
    """The latents that k-means sees.

    Raises:
        InputError: K larger than the number of distinct ones.
    """
    sample = draw(latents, POINTS, recipe.seed)
    check_enough(recipe.num_codes, len(np.unique(sample, axis=0)), "distinct latents")
    return sample


def _means(
    recipe: Recipe, sample: Float[np.ndarray, "n d"], root: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "S K d"]:
    count = recipe.num_quantizers
    if count == 1:
        return kmeans(sample, recipe.num_codes, root=root, seed=recipe.seed)[0][None]
    compose = residual_codes if recipe.composition == "residual" else product_codes
    return compose(sample, recipe.num_codes, count, root=root, seed=recipe.seed)


def _medoids(recipe: Recipe, geometry: Geometry, progress: MedoidProgress | None) -> Float[np.ndarray, "K d"]:
    graph = geometry.straight if recipe.name == "euclidean" else geometry.geodesic
    inside = largest_component(graph)
    check_enough(recipe.num_codes, len(inside), "distinct latents in the graph's largest component")
    found = k_medoids(
        graph[inside][:, inside],
        recipe.num_codes,
        weights=geometry.weights[inside],
        seed=recipe.seed,
        progress=progress,
    )
    return geometry.nodes[inside][found.medoids].astype(np.float32)
