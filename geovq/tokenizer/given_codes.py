"""Codes that were trained elsewhere: their mean metrics at a bounded cost."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geovq.assignment.base import Codebook
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.metric.batched import mean_metrics
from geovq.numerics.additive import sum_codes


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


def _check_near(latents: Float[np.ndarray, "n h w d"], quantized: Float[np.ndarray, "n h w d"]) -> None:
    error, spread = np.mean((latents - quantized) ** 2), np.mean((latents - latents.mean(axis=(0, 1, 2))) ** 2)
    if error > spread:
        warnings.warn(
            f"codes: expected codes near the latents, found a mean squared distance of {error:.3g} where the latents' variance "
            f"is {spread:.3g}; check that they are this model's codes, in the order (S, K, d), and scaled as its latents are.",
            ConventionWarning,
            stacklevel=4,
        )
