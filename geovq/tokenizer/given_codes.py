"""Codes that were trained elsewhere: their mean metrics at a bounded cost."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geovq.assignment.base import Assigner, Codebook, Training
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.geometry.measured import Means, draw
from geovq.metric.batched import mean_metrics
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.tokenizer.defaults import Probes, check_probes, choose_few, has_large_grids
from geovq.tokenizer.parts import Parts, as_vae, assemble, choose_assigner
from geovq.tokenizer.steps import choose_step_metric, draw_step_crops
from geovq.validation import InputError, check_pixels, check_seed, check_whole


def measure_codes(
    encode: Callable,
    decode: Callable,
    codes: Float[np.ndarray, "..."],
    images: np.ndarray,
    assigner: Assigner | None,
    max_images: int,
    probes: Probes,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> Parts:
    """`Tokenizer.from_codes`.

    Warns:
        ConventionWarning: Codes that lie farther from the latents than the latents' own mean does.
    """
    images = check_pixels(images)
    check_whole("max_images", max_images)
    check_seed(seed)
    check_probes(probes)
    stacked = as_quantizers(codes)
    vae = as_vae(encode, decode, images, plan)
    assigner = choose_assigner(vae, assigner, len(stacked))
    if stacked.shape[-1] != vae.channels:
        raise InputError(
            f"codes: expected {vae.channels} dimensions, those of the latents, found shape {np.shape(codes)}."
        )
    image_shape, latent_shape = vae.sizes.image_shape, vae.latent_shape
    count, number = choose_few(probes, max_images, latent_shape, image_shape)
    latents = encode_images(vae.encode, draw(images, count, seed), plan=plan, progress=progress)
    # The decoder is used at the codes, and a VQ-VAE's decoder has seen nothing else.
    quantized = sum_codes(stacked, nearest_tokens(latents.reshape(-1, vae.channels), stacked)).reshape(latents.shape)
    _check_near(latents, quantized)
    found = mean_metrics(single(vae.decode), quantized, probes=number, seed=seed, plan=plan, progress=progress)
    codebook = Codebook(stacked, found.by_position.astype(np.float32))
    if has_large_grids(latent_shape, image_shape):
        crops, means = draw_step_crops(vae, images, seed=seed), Means(codebook.mean_metric, codebook.position_metrics)
        chosen = choose_step_metric(vae, crops, stacked, means, seed=seed, plan=plan, progress=progress)
        codebook = codebook._replace(position_metrics=chosen.position_metrics)
    if vae.any_size:
        codebook = codebook.without_positions()
    return assemble(vae, codebook, assigner, Training(vae.encode, images, seed=seed), plan, progress)


def _check_near(latents: Float[np.ndarray, "n h w d"], quantized: Float[np.ndarray, "n h w d"]) -> None:
    error, spread = np.mean((latents - quantized) ** 2), np.mean((latents - latents.mean(axis=(0, 1, 2))) ** 2)
    if error > spread:
        warnings.warn(
            f"codes: expected codes near the latents, found a mean squared distance of {error:.3g} where the latents' variance "
            f"is {spread:.3g}; check that they are this model's codes, in the order (S, K, d), and scaled as its latents are.",
            ConventionWarning,
            stacklevel=4,
        )
