"""Images of a VAE -> what a codebook is fitted from -> the parts of a tokenizer: measured once, fitted as often as wanted."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Num

from geovq.assignment.base import Assigner, Codebook, MeasuredAssigner, Training
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.codebook.fit import check_statistics, fit_codes, refine_codebook, refining_images, rough_codes
from geovq.codebook.recipe import STATISTICS, Recipe, StatisticsName, check_recipe, needed_statistics
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
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
from geovq.tokenizer.measured import Measured, check_measurements, grids_of
from geovq.tokenizer.parts import Parts, Vae, as_vae, assemble, choose_assigner, vae_of_shapes
from geovq.tokenizer.steps import choose_step_metric, draw_step_crops
from geovq.validation import InputError, check_choice, check_images, check_pixels, check_seed, check_whole


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
    check_choice("statistics", statistics, STATISTICS)
    options = Options(max_images, max_tokens, num_neighbours, components, probes, seed, plan, progress)
    _check_options(options)
    return _measure(as_vae(encode, decode, images, plan), images, statistics, options)


class Options(NamedTuple):
    """How `measure` and `Tokenizer.fit` measure; each is as for `measure`."""

    max_images: int | None
    max_tokens: int
    num_neighbours: int
    components: str
    probes: Probes
    seed: int
    plan: Plan
    progress: Progress | None


def _check_options(options: Options) -> None:
    """Refuses options before anything is computed.

    Raises:
        InputError: With the first that does not fit.
    """
    if options.max_images is not None:
        check_whole("max_images", options.max_images)
    check_whole("max_tokens", options.max_tokens)
    check_seed(options.seed)
    check_graph_options(options.num_neighbours, options.components)
    check_probes(options.probes)
    settle(options.plan)


def _measure(vae: Vae, images: Num[np.ndarray, "n H W C"], statistics: StatisticsName, options: Options) -> Measured:
    """`measure` with arguments that were checked before."""
    image_shape, latent_shape, seed = vae.sizes.image_shape, vae.latent_shape, options.seed
    counts = choose_counts(options.probes, options.max_images, latent_shape, image_shape)
    if counts.encoded is not None:
        images = draw(images, counts.encoded, seed)
    latents = encode_images(vae.encode, images, plan=options.plan, progress=options.progress)
    sample = draw(latents.reshape(-1, vae.channels), POINTS, seed)
    found = _measure_statistics(single(vae.decode), latents, statistics, counts, options)
    if not found.mean_metric.any():
        raise InputError(
            f"decode: expected images that change with the latents, found that the decoder's derivatives vanish at all measured "
            f"ones, of {len(images):,} images; train the VAE first, or pass other images."
        )
    fingerprint = fingerprint_vae(vae.encode, vae.decode, grids_of(sample[:1], latent_shape), options.plan)
    crops = draw_step_crops(vae, images, seed=seed) if has_large_grids(latent_shape, image_shape) else None
    return Measured(sample, found, image_shape, latent_shape, crops, fingerprint)


def _measure_statistics(
    decode: Partial, latents: Float[np.ndarray, "n h w d"], statistics: StatisticsName, counts: Counts, options: Options
) -> Statistics:
    seed = options.seed
    run: dict[str, Any] = {"seed": seed, "plan": options.plan, "progress": options.progress}
    exact = counts.own_probes is None
    if not exact:
        means = measure_means(decode, draw(latents, counts.mean, seed), probes=counts.mean_probes, **run)
        if statistics == "means":
            return means
    grids = draw(latents, counts.own, seed)
    metrics = token_metrics(decode, grids, probes=counts.own_probes, **run)
    if exact:
        means = means_of(metrics)
        if statistics == "means":
            return means
    tokens = merge_tokens(grids, metrics, means, max_tokens=options.max_tokens, seed=seed)
    if statistics == "tokens":
        return tokens
    return connect_tokens(tokens, num_neighbours=options.num_neighbours, seed=seed, components=options.components)


def fit_images(
    encode: Callable, decode: Callable, images: np.ndarray, recipe: Recipe, assigner: Assigner | None, options: Options
) -> Parts:
    """`Tokenizer.fit`: measures no more than the codebook and the assigner need."""
    images = check_pixels(images)
    _check_options(options)
    vae = as_vae(encode, decode, images, options.plan)
    check_recipe(recipe, vae.channels)
    assigner = choose_assigner(vae, assigner, recipe.num_quantizers)
    measured = _measure(vae, images, _needed_for(recipe, assigner), options)
    return _fit_measured(vae, measured, recipe, assigner, images, options.plan, options.progress)


def fit_measured(
    encode: Callable,
    decode: Callable,
    measured: Measured,
    recipe: Recipe,
    assigner: Assigner | None,
    images: np.ndarray | None,
    plan: Plan,
    progress: Progress | None,
) -> Parts:
    """`Tokenizer.from_measured`."""
    check_measurements(measured)
    check_recipe(recipe, measured.latent_shape[-1])
    vae = vae_of_shapes(encode, decode, measured.image_shape, measured.latent_shape)
    assigner = choose_assigner(vae, assigner, recipe.num_quantizers)
    if images is not None:
        images = check_pixels(images, measured.image_shape)
    _check_sufficient(recipe, assigner, measured, images)
    measured.check_vae(vae.encode, vae.decode, plan=plan)
    return _fit_measured(vae, measured, recipe, assigner, images, plan, progress)


def _needed_for(recipe: Recipe, assigner: Assigner) -> StatisticsName:
    """What has to be measured for a codebook and an assigner."""
    graph = isinstance(assigner, MeasuredAssigner) and assigner.needs_geometry
    return "graph" if graph else needed_statistics(recipe.name)


def _check_sufficient(recipe: Recipe, assigner: Assigner, measured: Measured, images: np.ndarray | None) -> None:
    """Refuses a codebook or an assigner that needs statistics or images that are not there.

    Raises:
        InputError: With what is missing, and what to do.
    """
    check_statistics(recipe, measured.statistics)
    if _needed_for(recipe, assigner) == "graph" and measured.geometry is None:
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


def _fit_measured(
    vae: Vae,
    measured: Measured,
    recipe: Recipe,
    assigner: Assigner,
    images: np.ndarray | None,
    plan: Plan,
    progress: Progress | None,
) -> Parts:
    """The parts, from arguments that were checked before."""
    codes, statistics = _fit_codes(vae, measured, recipe, plan, progress)
    codebook = Codebook(codes, np.asarray(statistics.position_metrics, np.float32))
    if vae.any_size:
        codebook = codebook.without_positions()
    if recipe.name == "refined":
        assert images is not None  # `_check_sufficient` has seen them
        some = check_images(images[refining_images(recipe, len(images), math.prod(vae.sizes.grid))])
        latents = encode_images(vae.encode, some, plan=plan, progress=progress)
        codebook = refine_codebook(
            vae.decode, some, latents, codebook, measured.latents, statistics, plan=plan, progress=progress
        )
    training = Training(vae.encode, images, measured.geometry, recipe.seed)
    return assemble(vae, codebook, assigner, training, plan, progress)


def _fit_codes(
    vae: Vae, measured: Measured, recipe: Recipe, plan: Plan, progress: Progress | None
) -> tuple[Float[np.ndarray, "S K d"], Statistics]:
    """The codes and the metrics that tokens are assigned by: of large grids those of quantization steps, where they can be."""
    statistics, crops = measured.statistics, measured.crops
    if crops is not None and recipe.name in ("kmeans", "whitened"):
        choose = functools.partial(choose_step_metric, vae, crops, seed=recipe.seed, plan=plan, progress=progress)
        if recipe.name == "kmeans":  # its codes are the same under every metric
            codes = fit_codes(recipe, measured.latents, statistics)
            return codes, choose(codes, statistics)
        statistics = choose(rough_codes(recipe, measured.latents), statistics)
    return fit_codes(recipe, measured.latents, statistics), statistics
