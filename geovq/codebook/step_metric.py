"""One metric for quantization steps, however large: chosen by decoded images among three.

| name      | metric                                                                                                    |
|-----------|-----------------------------------------------------------------------------------------------------------|
| mean      | mean of JᵀJ at the encoder's latents: right for small steps                                               |
| smoothed  | metric of the decoder smoothed by noise of the size of the quantization errors (geovq.metric.smoothed)     |
| euclidean | a multiple of the identity                                                                                |

The first half of the images measures the smoothed metric, and the second half chooses. Each metric is tried with its own codes,
fitted and assigned under it, so that on images which measured nothing the choice is at least as good as Euclidean k-means.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Num

from geovq.assignment.nearest_codes import nearest_tokens, nearest_tokens_whitened
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents
from geovq.metric.smoothed import smoothed_metric
from geovq.numerics.additive import sum_codes
from geovq.numerics.linalg import eigen_root
from geovq.validation import InputError, check_images

StepMetricName = Literal["mean", "smoothed", "euclidean"]

CodesUnder = Callable[[Float[np.ndarray, "d d"]], Float[np.ndarray, "S K d"]]
"""The square root of a metric, as in `geovq.numerics.kmeans`, to codes that are fitted under it."""

_PIXELS = 1 << 17
"""Pixels of the images that measure: 8 of 128x128, 2 of 256x256."""

_CHOOSING = 4
"""Times as many choose, at most."""

_LEAST_ERROR = 1e-10
"""Mean squared errors below it count as it, so that a mean of logarithms is finite."""


class StepMetric(NamedTuple):
    """The chosen metric, and how it was chosen."""

    metric: Float[np.ndarray, "d d"]
    """Intensity² per latent², with the trace of the mean metric, so that it can stand in its place."""
    name: StepMetricName
    psnr: dict[StepMetricName, float]
    """Mean PSNR, in dB, of the images that chose, with the nearest of each metric's codes under it."""


def fit_step_metric(
    decode: Callable,
    codes_under: CodesUnder,
    latents: Float[np.ndarray, "n h w d"],
    images: Num[np.ndarray, "n H W C"],
    mean_metric: Float[np.ndarray, "d d"],
    *,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> StepMetric:
    """The metric whose codes decode best.

    Args:
        decode: Takes latents (n, h, w, d) to images (n, H, W, C).
        codes_under: Fits codes. Those of 30 latents a code are good enough to choose by; `always` where the codes are given.
        latents: What the encoder made of the images.
        images: Training images, uint8 or floats in [0, 1], at least two, in random order. At most as many as have 2¹⁷ pixels
            measure, by 16 reverse-mode products each. At most four times as many choose, and each is decoded three times.
        mean_metric: Mean of JᵀJ over the data, (d, d).
        seed: Of the noise and the probes.
        plan: How much at once and on which devices the decoder is run.
        progress: Called after every image that measures.

    Returns:
        The metric.

    Raises:
        InputError: Fewer than two images, or another number of latents.
    """
    if not 2 <= len(images) == len(latents):
        raise InputError(
            f"images: expected two or more and as many grids of latents, found {len(images)} and {len(latents)}; pass more "
            "training images."
        )
    measuring, choosing = _halves(images.shape)
    identity = np.eye(len(mean_metric), dtype=np.float32)
    straight = codes_under(identity)
    errors = step_covariance(straight, latents)
    smoothed = smoothed_metric(single(decode), latents[measuring], errors, seed=seed, plan=plan, progress=progress)
    metrics: dict[StepMetricName, np.ndarray] = {
        "mean": np.asarray(mean_metric, np.float32),
        "smoothed": _with_trace_of(mean_metric, smoothed),
        "euclidean": _with_trace_of(mean_metric, identity),
    }
    some = check_images(images[choosing])
    psnr = {
        name: _decoded_psnr(
            decode,
            straight if name == "euclidean" else codes_under(eigen_root(metric)),
            latents[choosing],
            some,
            metric,
            plan,
        )
        for name, metric in metrics.items()
    }
    name = max(psnr, key=psnr.__getitem__)
    return StepMetric(metrics[name], name, psnr)


def always(codes: Float[np.ndarray, "S K d"]) -> CodesUnder:
    """The same codes under every metric."""
    return lambda root: codes


def images_used(height: int, width: int) -> int:
    """Images of a size at most that measure and choose; others are not looked at."""
    return (1 + _CHOOSING) * _most_measuring(height, width)


def step_covariance(
    codes: Float[np.ndarray, "S K d"], latents: Float[np.ndarray, "n h w d"]
) -> Float[np.ndarray, "d d"]:
    """Mean of δδᵀ over the errors δ = c − z of the nearest codes in Euclidean distance."""
    flat = latents.reshape(-1, latents.shape[-1])
    steps = (sum_codes(codes, nearest_tokens(flat, codes)) - flat).astype(np.float64)
    return steps.T @ steps / len(steps)


def _most_measuring(height: int, width: int) -> int:
    return max(1, _PIXELS // (height * width))


def _halves(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Which of the images (n, H, W, C) measure, and which choose."""
    n, height, width, _ = shape
    most = _most_measuring(height, width)
    count = min(n // 2, most)
    return slice(count), slice(count, count + _CHOOSING * most)


def _with_trace_of(wanted: Float[np.ndarray, "d d"], metric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The metric at the scale of another, or unchanged where it is zero."""
    trace = float(np.trace(metric))
    return metric * np.float32(np.trace(wanted) / trace) if trace > 0 else metric


def _decoded_psnr(
    decode: Callable,
    codes: Float[np.ndarray, "S K d"],
    latents: Float[np.ndarray, "n h w d"],
    images: Float[np.ndarray, "n H W C"],
    metric: Float[np.ndarray, "d d"],
    plan: Plan,
) -> float:
    """Mean PSNR of the images with the nearest codes under a metric."""
    tokens = nearest_tokens_whitened(latents.reshape(-1, latents.shape[-1]), codes, metric)
    quantized = np.asarray(sum_codes(codes, tokens), np.float32).reshape(latents.shape)
    errors = np.mean((decode_latents(decode, quantized, plan=plan) - images) ** 2, axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(np.maximum(errors, _LEAST_ERROR))))
