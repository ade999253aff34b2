"""Crops of training images, by which the metric of quantization steps is measured and chosen where grids are large."""

from collections.abc import Callable

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Num, UInt8

from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.codebook.step_metric import FitCodes, StepMetric, fit_step_metric, images_used
from geovq.decoder.autoencoder import encode_images
from geovq.decoder.sizes import Sizes, check_size, find_stride
from geovq.validation import InputError

_SIDE = 128
"""Pixels of a crop's side at most, where the VAE takes crops. 8 of 128 measure the metric of TAESD as well as 16 do."""


def draw_step_crops(
    encode: Partial,
    decode: Partial,
    images: Num[np.ndarray, "n H W C"],
    latent_shape: tuple[int, ...],
    *,
    seed: int,
) -> UInt8[np.ndarray, "m a b C"]:
    """Crops of images in random order: of 128x128 where the VAE is convolutional, else whole images.

    They are of other images than `geovq.geometry.measured.draw` draws by the same seed, where there are enough for both.

    Args:
        encode: The encoder of batches.
        decode: The decoder of batches.
        images: Training images, uint8 or floats in [0, 1].
        latent_shape: (h, w, d) of their latents.
        seed: Of the order and the positions.

    Returns:
        As many as `fit_step_metric` uses: 40 of 128x128. Whole images are not repeated, so there may be fewer.
    """
    rng, sides = np.random.default_rng(seed), _crop_sides(encode, decode, images.shape[1:], latent_shape)
    whole, count = sides == images.shape[1:3], images_used(*sides)
    order = rng.permutation(len(images))[::-1]
    order = order[:count] if whole else np.resize(order, count)
    corners = (rng.random((len(order), 2)) * (np.subtract(images.shape[1:3], sides) + 1)).astype(int)
    crops = [
        images[i, top : top + sides[0], left : left + sides[1]] for i, (top, left) in zip(order, corners, strict=True)
    ]
    return _as_bytes(np.stack(crops))


def measure_step_metric(
    encode: Callable,
    decode: Callable,
    crops: UInt8[np.ndarray, "m a b C"],
    codes: FitCodes | Float[np.ndarray, "S K d"],
    mean_metric: Float[np.ndarray, "d d"],
    *,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> StepMetric | None:
    """`fit_step_metric` on crops. None where there is one alone, so that nothing can be held out."""
    if len(crops) < 2:
        return None
    grids = encode_images(encode, crops, plan=plan)
    return fit_step_metric(decode, codes, grids, crops, mean_metric, seed=seed, plan=plan, progress=progress)


def step_positions(
    step: StepMetric | None, position_metrics: Float[np.ndarray, "h w d d"]
) -> Float[np.ndarray, "h w d d"]:
    """The metric at every position: the measured ones where their mean was chosen, else the chosen one at all of them."""
    if step is None or step.name == "mean":
        return position_metrics
    return np.broadcast_to(step.metric, position_metrics.shape).copy()


def _crop_sides(
    encode: Partial, decode: Partial, image_shape: tuple[int, ...], latent_shape: tuple[int, ...]
) -> tuple[int, int]:
    """Height and width of a crop that the VAE takes."""
    height, width = image_shape[:2]
    stride = find_stride(encode, decode, image_shape, latent_shape)
    if stride is None:
        return height, width
    h, w = (min(side, max(1, _SIDE // each) * each) for side, each in zip((height, width), stride, strict=True))
    try:
        sizes = Sizes(image_shape, (latent_shape[0], latent_shape[1]), stride)
        check_size(encode, decode, sizes, (h, w, image_shape[2]), latent_shape[2])
    except InputError:  # a network with windows, say, which takes multiples of its own size
        return height, width
    return h, w


def _as_bytes(images: Num[np.ndarray, "n H W C"]) -> UInt8[np.ndarray, "n H W C"]:
    return images if images.dtype == np.uint8 else np.round(255 * images).astype(np.uint8)
