"""Crops of training images, by which the metric of quantization steps is measured and chosen where grids are large."""

import numpy as np
from jaxtyping import Float, Num, UInt8

from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.codebook.step_metric import FitCodes, fit_step_metric, images_used
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import Means, Statistics
from geovq.tokenizer.parts import Vae
from geovq.validation import InputError

_SIDE = 128
"""Pixels of a crop's side at most, where the VAE takes crops. 8 of 128 measure the metric of TAESD as well as 16 do."""


def draw_step_crops(vae: Vae, images: Num[np.ndarray, "n H W C"], *, seed: int) -> UInt8[np.ndarray, "m a b C"]:
    """Crops of images in random order: of 128x128 where the VAE is convolutional, else whole images.

    They are of other images than `geovq.geometry.measured.draw` draws by the same seed, where there are enough for both.

    Args:
        vae: The VAE.
        images: Training images, uint8 or floats in [0, 1].
        seed: Of the order and the positions.

    Returns:
        As many as `fit_step_metric` uses: 40 of 128x128. Whole images are not repeated, so there may be fewer.
    """
    rng, sides = np.random.default_rng(seed), _crop_sides(vae)
    whole, count = sides == images.shape[1:3], images_used(*sides)
    order = rng.permutation(len(images))[::-1]
    order = order[:count] if whole else np.resize(order, count)
    corners = (rng.random((len(order), 2)) * (np.subtract(images.shape[1:3], sides) + 1)).astype(int)
    crops = [
        images[i, top : top + sides[0], left : left + sides[1]] for i, (top, left) in zip(order, corners, strict=True)
    ]
    return _as_bytes(np.stack(crops))


def choose_step_metric(
    vae: Vae,
    crops: UInt8[np.ndarray, "m a b C"],
    codes: FitCodes | Float[np.ndarray, "S K d"],
    means: Statistics,
    *,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> Statistics:
    """The metric of quantization steps, at every position, in the place of mean metrics where it decodes crops better.

    Args:
        vae: The VAE.
        crops: See `draw_step_crops`. Where there is one alone nothing can be held out, and the mean metrics stay.
        codes: As for `fit_step_metric`.
        means: The mean metrics.
        seed: Of the noise and the probes.
        plan: How much at once and on which devices.
        progress: Called with the crops that measure.
    """
    if len(crops) < 2:
        return means
    grids = encode_images(vae.encode, crops, plan=plan)
    step = fit_step_metric(vae.decode, codes, grids, crops, means.mean_metric, seed=seed, plan=plan, progress=progress)
    if step.name == "mean":
        return means
    return Means(step.metric, np.broadcast_to(step.metric, means.position_metrics.shape).copy())


def _crop_sides(vae: Vae) -> tuple[int, int]:
    """Height and width of a crop that the VAE takes."""
    height, width, channels = vae.sizes.image_shape
    if vae.sizes.stride is None:
        return height, width
    sides = zip((height, width), vae.sizes.stride, strict=True)
    h, w = (min(side, max(1, _SIDE // each) * each) for side, each in sides)
    try:
        vae.check_size((h, w, channels))
    except InputError:  # a network with windows, say, which takes multiples of its own size
        return height, width
    return h, w


def _as_bytes(images: Num[np.ndarray, "n H W C"]) -> UInt8[np.ndarray, "n H W C"]:
    return images if images.dtype == np.uint8 else np.round(255 * images).astype(np.uint8)
