"""Codes that were trained elsewhere: their mean metrics at a bounded cost."""

import warnings
from collections.abc import Callable

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Num

from geovq.assignment.base import Codebook
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.metric.batched import mean_metrics
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.steps import draw_step_crops, measure_step_metric, step_positions


def measure_codes(
    decode: Callable,
    codes: Float[np.ndarray, "S K d"],
    latents: Float[np.ndarray, "n h w d"],
    *,
    probes: int | None,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> Codebook:
    """Codes with the mean metrics of latents, at the codes that are nearest to them.

    Args:
        decode: Takes latents (n, h, w, d) to images.
        codes: The codes.
        latents: Of training images.
        probes: Of every image; None for exact metrics.
        seed: Of the probes.
        plan: How much at once and on which devices.
        progress: Called with the images done.

    Raises:
        InputError: A decoder that has no metric.

    Warns:
        ConventionWarning: Codes that lie farther from the latents than the latents' own mean does.
    """
    d = latents.shape[-1]
    # The decoder is used at the codes, and a VQ-VAE's decoder has seen nothing else.
    quantized = sum_codes(codes, nearest_tokens(latents.reshape(-1, d), codes)).reshape(latents.shape)
    _check_near(latents, quantized)
    means = mean_metrics(single(decode), quantized, probes=probes, seed=seed, plan=plan, progress=progress)
    return Codebook(codes, means.by_position.astype(np.float32))


def at_steps(
    encode: Partial,
    decode: Partial,
    codebook: Codebook,
    images: Num[np.ndarray, "n H W C"],
    *,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> Codebook:
    """The codebook with the metric of its quantization steps, where grids are large.

    Args:
        encode: The encoder of batches.
        decode: The decoder of batches.
        codebook: Codes and mean metrics (h, w, d, d).
        images: Training images, of which some crops are drawn.
        seed: Of the crops, the noise and the probes.
        plan: How much at once and on which devices.
        progress: Called with the crops that measure.
    """
    metrics, mean_metric = codebook.position_metrics, codebook.mean_metric
    latent_shape = (*metrics.shape[:2], metrics.shape[-1])
    crops = draw_step_crops(encode, decode, images, latent_shape, seed=seed)
    step = measure_step_metric(
        encode, decode, crops, codebook.codes, mean_metric, seed=seed, plan=plan, progress=progress
    )
    return codebook._replace(position_metrics=step_positions(step, metrics))


def _check_near(latents: Float[np.ndarray, "n h w d"], quantized: Float[np.ndarray, "n h w d"]) -> None:
    error, spread = np.mean((latents - quantized) ** 2), np.mean((latents - latents.mean(axis=(0, 1, 2))) ** 2)
    if error > spread:
        warnings.warn(
            f"codes: expected codes near the latents, found a mean squared distance of {error:.3g} where the latents' variance "
            f"is {spread:.3g}; check that they are this model's codes, in the order (S, K, d), and scaled as its latents are.",
            ConventionWarning,
            stacklevel=4,
        )
