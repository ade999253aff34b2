"""Images of the sizes that a tokenizer takes: checked, padded to the stride, and cropped back."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from geovq.decoder.sizes import Sizes, pad_to_stride
from geovq.validation import InputError, as_array, as_sizes, check_images, check_length, check_pixels


def as_pixels(images: np.ndarray, sizes: Sizes, *, pad: bool = False) -> Num[np.ndarray, "n H W C"]:
    """Images of one size that the VAE takes, as bytes or as floats in [0, 1].

    Args:
        images: (n, H, W, C), uint8 or floats.
        sizes: What it takes.
        pad: Whether sides that the stride does not divide are padded, see `pad_to_stride`.

    Raises:
        InputError: Another shape, dtype or range, or sides that the stride does not divide, with those near by.
    """
    if sizes.stride is None:
        return check_pixels(images, sizes.image_shape)
    images = as_array("images", images)
    if images.ndim == 4:  # what is no batch is refused below
        check_image_shape("images", images.shape[1:], sizes, pad=pad)
    images = check_pixels(images)
    return pad_to_stride(images, sizes.stride) if pad else images


def check_image_list(images: Sequence[Any], sizes: Sizes, *, pad: bool = False) -> list[np.ndarray]:
    """Images (H, W, C) of one dtype, each of a size that the VAE takes, as arrays in their own dtype.

    Raises:
        InputError: As `as_pixels`, or another dtype than the first image's, with the index of the image.
    """
    found: list[np.ndarray] = []
    for i, each in enumerate(images):
        name = f"images[{i}]"
        image = as_array(name, each)
        if image.ndim != 3:
            raise InputError(f"{name}: expected shape (H, W, C), found {image.shape}; reshape or convert it.")
        check_image_shape(name, image.shape, sizes, pad=pad)
        check_pixels(image[None], name=name)
        check_same_dtype(name, image, images[0])
        found.append(image)
    return found


def check_same_dtype(name: str, image: np.ndarray, first: Any) -> None:
    """Refuses an image of another dtype than the first of a list: stacked together, bytes would become floats up to 255.

    Raises:
        InputError: With both dtypes.
    """
    wanted = np.asarray(first).dtype
    if image.dtype != wanted:
        raise InputError(
            f"{name}: expected {wanted} as images[0], found {image.dtype}; convert all images to one dtype."
        )


def check_image_shape(name: str, shape: tuple[int, ...], sizes: Sizes, *, pad: bool = False) -> None:
    """Refuses a shape (H, W, C) that the VAE does not take, from what is known without calling it.

    Raises:
        InputError: Other channels, another size than the only one, or sides that the stride does not divide.
    """
    if sizes.stride is None:
        if shape != sizes.image_shape:
            raise InputError(
                f"{name}: expected shape {sizes.image_shape}, the only one that this VAE takes, found {shape}; resize or crop "
                "the image."
            )
        return
    if shape[2] != sizes.image_shape[2]:
        raise InputError(
            f"{name}: expected {sizes.image_shape[2]} channels, found shape {shape}; convert to the colours of the images that "
            "the tokenizer was fitted to, with channels last."
        )
    least = (1, 1) if pad else sizes.stride
    divided = pad or not any(side % each for side, each in zip(shape[:2], sizes.stride, strict=False))
    if not divided or min(shape[0] - least[0], shape[1] - least[1]) < 0:
        raise InputError(_not_divided(name, shape, sizes.stride))


def as_image_shape(shape: Sequence[int], sizes: Sizes) -> tuple[int, ...]:
    """A shape (H, W, C) that the VAE takes, as far as is known without calling it.

    Raises:
        InputError: No three whole numbers, or as `check_image_shape`.
    """
    found = as_sizes("image_shape", shape)
    check_image_shape("image_shape", found, sizes)
    return found


def _not_divided(name: str, shape: tuple[int, ...], stride: tuple[int, int]) -> str:
    down = [max(side // each, 1) * each for side, each in zip(shape[:2], stride, strict=True)]
    up = [max(-(-side // each), 1) * each for side, each in zip(shape[:2], stride, strict=True)]
    near = f"{down[0]}x{down[1]}" + ("" if up == down else f" or {up[0]}x{up[1]}")
    wanted = str(stride[0]) if stride[0] == stride[1] else f"{stride[0]}x{stride[1]}"
    return (
        f"{name}: expected a height and a width that the stride {wanted} divides, found {shape[0]}x{shape[1]}; take {near}: "
        f"crop by geovq.corpus.crop_to_multiple(image, {math.lcm(*stride)}), or pad by pad=True."
    )


def check_images_of(
    images: np.ndarray, image_shape: tuple[int, ...], n: int, name: str = "images"
) -> Float[np.ndarray, "n H W C"]:
    """The images, one for each of n latents, as floats in [0, 1].

    Raises:
        InputError: Another number, shape, dtype or range.
    """
    images = check_images(images, image_shape, name)
    if len(images) != n:
        raise InputError(f"{name}: expected {n}, one for each latent, found {len(images)}.")
    return images


def as_crop(image_shape: Any, decoded: tuple[int, ...], sizes: Sizes, name: str = "image_shape") -> tuple[int, int]:
    """Height and width to which an image that was padded is cropped.

    Args:
        image_shape: (H, W) or (H, W, C) before it was padded.
        decoded: (H, W, C) of what is decoded.
        sizes: What the VAE takes.
        name: What messages call it.

    Raises:
        InputError: No such numbers, or an image that is padded to another size.
    """
    least = [side - each + 1 for side, each in zip(decoded, sizes.stride or (1, 1), strict=False)]
    try:
        height, width = (operator.index(side) for side in tuple(image_shape)[:2])
        fits = least[0] <= height <= decoded[0] and least[1] <= width <= decoded[1]
    except (TypeError, ValueError):
        fits = False
    if not fits:
        heights, widths = (
            str(most) if low == most else f"{low}..{most}" for low, most in zip(least, decoded, strict=False)
        )
        raise InputError(
            f"{name}: expected (H, W) of an image with these tokens, H {heights} and W {widths}, found {image_shape!r}; pass the "
            "size before padding, or leave it out."
        )
    return height, width


def as_crops(image_shapes: Any, decoded: list[tuple[int, ...]], sizes: Sizes) -> list[tuple[int, ...]]:
    """Heights and widths of a list of decoded images (H, W, C): as they are, or as given for each, see `as_crop`.

    Raises:
        InputError: As `as_crop`, or a list of another length.
    """
    if image_shapes is None:
        return [shape[:2] for shape in decoded]
    check_length("image_shape", image_shapes, len(decoded))
    pairs = zip(image_shapes, decoded, strict=True)
    return [as_crop(wanted, shape, sizes, f"image_shape[{i}]") for i, (wanted, shape) in enumerate(pairs)]
