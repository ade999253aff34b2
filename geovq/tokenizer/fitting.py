"""Images of a VAE -> what a codebook is fitted from -> the codebook: measured once, fitted as often as wanted."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Num

from geovq.assignment.base import Assigner, Codebook, MeasuredAssigner
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.codebook.fit import check_statistics, fit_codes, refine_codebook, refining_images, rough_codes
from geovq.codebook.recipe import STATISTICS, Recipe, StatisticsName, needed_statistics
from geovq.decoder.adapters import as_partial, single
from geovq.decoder.autoencoder import check_autoencoder, encode_images
from geovq.decoder.sizes import find_stride
from geovq.geometry.measured import (
    Statistics,
    check_graph_options,
    connect_tokens,
    draw,
    means_of,
    measure_means,
    merge_tokens,
)
from geovq.metric.batched import token_metrics
from geovq.numerics.kmeans import POINTS
from geovq.tokenizer.defaults import MAX_TOKENS, Counts, Probes, check_probes, choose_counts, has_large_grids
from geovq.tokenizer.fingerprint import fingerprint_vae
from geovq.tokenizer.measured import Measured, grids_of
from geovq.tokenizer.steps import draw_step_crops, measure_step_metric, step_positions
from geovq.validation import InputError, check_images, check_pixels, check_whole


def measure(
    encode: Callable,
    decode: Callable,
    images: np.ndarray,
    *,
    statistics: StatisticsName = "graph",
    max_images: int | None = None,
    max_tokens: int = MAX_TOKENS,
    num_neighbours: int = 16,
    components: str = "bridge",
    probes: Probes = "auto",
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Measured:
    """Measures what any codebook is fitted from, once: see `Tokenizer.from_measured`.

    A grid is small here if it has at most 1,024 numbers, h·w·d, and its Jacobian, h·w·d·H·W·C, at most 2²⁰. Of images with large
    grids some crops are kept, by which `from_measured` chooses the metric of quantization steps.

    Args:
        encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d).
        decode: Latents (n, h, w, d) to images (n, H, W, C); a function that JAX can differentiate.
        images: Training images (n, H, W, C), uint8 or floats in [0, 1]. Of images with large grids at most as many are encoded
            as have 2¹⁹ tokens, 512 of 256x256 with a stride of 8, drawn at random.
        statistics: "means" measures the mean metrics, for the codebooks `kmeans` and `whitened`; "tokens" the metrics of tokens
            too, for `metric` and `refined`; "graph" also the graph between these tokens, for `euclidean`, `geodesic` and the
            assigner `Geodesic`.
        max_images: Images at most that are measured, drawn at random. None takes 1,000 with small grids. Of larger ones it takes
            as many as have 2²¹ pixels for the mean metrics, 32 of 256x256, and as many as have 2¹⁵ tokens for the tokens' own
            metrics, 32 of 256x256 with a stride of 8, but 16 at least.
        max_tokens: Tokens of the measured images at most whose own metrics are kept and joined to the graph, drawn at random.
        num_neighbours: Neighbours of a latent in that graph; all others where there are fewer.
        components: "bridge" or "drop", see `geovq.geometry.measure`.
        probes: Random probes by which metrics are sketched; None for exact ones. "auto" takes exact ones of small grids, else 16
            probes for the tokens' own metrics, and for mean metrics 1 to 16 of each image, the fewer the more pixels there are.
        seed: Of every random choice.
        plan: How much at once and on which devices the decoder is run.
        progress: Called with the images done: as they are encoded, and again as their mean metrics and their tokens' own metrics
            are measured.

    Returns:
        The measurements.

    Raises:
        InputError: Images, callables or options that do not fit.
    """
    images = check_pixels(images)
    options = Options(statistics, max_images, max_tokens, num_neighbours, components, probes, seed, plan)
    check_options(options)
    encode, decode = as_partial(encode, "encode"), as_partial(decode, "decode")
    check_autoencoder(encode, decode, images)
    return measure_checked(encode, decode, images, options, progress)


class Options(NamedTuple):
    """Options of `measure`."""

    statistics: StatisticsName
    max_images: int | None
    max_tokens: int
    num_neighbours: int
    components: str
    probes: Probes
    seed: int
    plan: Plan


def check_options(options: Options) -> None:
    """Refuses options of `measure` before anything is computed.

    Raises:
        InputError: With the first that does not fit.
    """
    if options.statistics not in STATISTICS:
        raise InputError(
            f"statistics: expected one of {', '.join(STATISTICS)}, found {options.statistics!r}; choose one of them."
        )
    if options.max_images is not None:
        check_whole("max_images", options.max_images)
    check_whole("max_tokens", options.max_tokens)
    check_whole("seed", options.seed, 0)
    check_graph_options(options.num_neighbours, options.components)
    check_probes(options.probes)
    settle(options.plan)


def measure_checked(
    encode: Partial,
    decode: Partial,
    images: Num[np.ndarray, "n H W C"],
    options: Options,
    progress: Progress | None = None,
) -> Measured:
    """`measure` with images, functions and options that were checked before."""
    image_shape, latent_shape = images.shape[1:], encode_images(encode, images[:1], plan=options.plan).shape[1:]
    counts = choose_counts(options.probes, options.max_images, latent_shape, image_shape)
    if counts.encoded is not None:
        images = draw(images, counts.encoded, options.seed)
    latents = encode_images(encode, images, plan=options.plan, progress=progress)
    sample = draw(latents.reshape(-1, latent_shape[-1]), POINTS, options.seed)
    found = _measure_statistics(single(decode), latents, options, counts, progress)
    fingerprint = fingerprint_vae(encode, decode, grids_of(sample[:1], latent_shape), options.plan)
    crops = None
    if has_large_grids(latent_shape, image_shape):
        crops = draw_step_crops(encode, decode, images, latent_shape, seed=options.seed)
    return Measured(sample, found, tuple(image_shape), tuple(latent_shape), crops, fingerprint)


def _measure_statistics(
    decode: Partial,
    latents: Float[np.ndarray, "n h w d"],
    options: Options,
    counts: Counts,
    progress: Progress | None,
) -> Statistics:
    seed, plan = options.seed, options.plan
    exact = counts.own_probes is None
    if not exact:
        some = draw(latents, counts.mean, seed)
        means = measure_means(decode, some, probes=counts.mean_probes, seed=seed, plan=plan, progress=progress)
        if options.statistics == "means":
            return means
    grids = draw(latents, counts.own, seed)
    metrics = token_metrics(decode, grids, probes=counts.own_probes, seed=seed, plan=plan, progress=progress)
    if exact:
        means = means_of(metrics)
        if options.statistics == "means":
            return means
    tokens = merge_tokens(grids, metrics, means, max_tokens=options.max_tokens, seed=seed)
    if options.statistics == "tokens":
        return tokens
    return connect_tokens(tokens, num_neighbours=options.num_neighbours, seed=seed, components=options.components)


def needed_for(recipe: Recipe, assigner: Assigner) -> StatisticsName:
    """What has to be measured for a codebook and an assigner."""
    graph = isinstance(assigner, MeasuredAssigner) and assigner.needs_geometry
    return "graph" if graph else needed_statistics(recipe.name)


def check_sufficient(recipe: Recipe, assigner: Assigner, measured: Measured, images: np.ndarray | None) -> None:
    """Refuses a codebook or an assigner that needs statistics or images that are not there.

    Raises:
        InputError: With what is missing, and what to do.
    """
    check_statistics(recipe, measured.statistics)
    if needed_for(recipe, assigner) == "graph" and measured.geometry is None:
        raise InputError(
            f"measured: expected the graph, in which {type(assigner).__name__} finds its paths, found none; call "
            "geovq.measure(..., statistics='graph')."
        )
    looks = isinstance(assigner, MeasuredAssigner) and not assigner.needs_geometry
    if images is None and (recipe.name == "refined" or looks):
        who = "the codebook refined" if recipe.name == "refined" else type(assigner).__name__
        raise InputError(
            f"images: expected training images, by which {who} is measured, found none; call "
            "Tokenizer.from_measured(..., images=images)."
        )


def fit_measured(
    recipe: Recipe,
    encode: Partial,
    decode: Partial,
    measured: Measured,
    images: np.ndarray | None,
    *,
    plan: Plan,
    progress: Progress | None,
) -> Codebook:
    """The codebook that a recipe names, from what was measured; images are looked at for `refined` codes alone.

    Where grids are large, `kmeans` and `whitened` codebooks have the metric of quantization steps instead of the mean metric.
    """
    statistics = measured.statistics
    if measured.crops is not None and recipe.name in ("kmeans", "whitened"):
        statistics = _at_steps(recipe, encode, decode, measured, plan=plan, progress=progress)
    codes = fit_codes(recipe, measured.latents, statistics)
    codebook = Codebook(codes, np.asarray(statistics.position_metrics, np.float32))
    if find_stride(encode, decode, measured.image_shape, measured.latent_shape) is not None:
        codebook = codebook.without_positions()
    if recipe.name != "refined":
        return codebook
    assert images is not None  # `check_sufficient` has seen them
    some = check_images(images[refining_images(recipe, len(images), math.prod(measured.latent_shape[:2]))])
    latents = encode_images(encode, some, plan=plan, progress=progress)
    return refine_codebook(
        decode, some, latents, codebook, measured.latents, measured.statistics, plan=plan, progress=progress
    )


def _at_steps(
    recipe: Recipe,
    encode: Partial,
    decode: Partial,
    measured: Measured,
    *,
    plan: Plan,
    progress: Progress | None,
) -> Statistics:
    """What was measured, with the metric of a codebook's quantization steps in the place of the mean metric."""
    found, crops = measured.statistics, measured.crops
    assert crops is not None
    # Codes of k-means are the same under every metric.
    fit = (
        fit_codes(recipe, measured.latents, found) if recipe.name == "kmeans" else rough_codes(recipe, measured.latents)
    )
    step = measure_step_metric(
        encode, decode, crops, fit, found.mean_metric, seed=recipe.seed, plan=plan, progress=progress
    )
    if step is None:
        return found
    return found._replace(mean_metric=step.metric, position_metrics=step_positions(step, found.position_metrics))
