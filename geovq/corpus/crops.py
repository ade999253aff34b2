"""Crops of images: drawn by seed to fit a tokenizer to, and centred to a size that an encoder takes."""

import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from geovq.corpus.folder import as_paths
from geovq.corpus.pixels import read_image, read_size
from geovq.validation import LARGEST_SIZE, InputError, as_array, check_seed, check_whole, shown

MOST_CROPS = 10**7
"""Crops of one draw, which are in memory together."""


def draw_crops(
    folder_or_paths: str | os.PathLike | Sequence[str | os.PathLike],
    size: int | Sequence[int],
    n: int,
    seed: int = 0,
) -> UInt8[np.ndarray, "n H W 3"]:
    """Crops of images, drawn at random: every image equally often, every position equally likely.

    Images come in a random order and give one crop each; after the last one the first comes again, at another position. So the
    first crops of a larger draw are those of a smaller one. Where n is less than the number of images, the other images are not
    opened. One whole image is in memory at a time.

    Args:
        folder_or_paths: A folder, see `find_images`, or paths of images, whose order counts.
        size: Side of the square crops in pixels, or (height, width).
        n: Number of crops.
        seed: Of the order and the positions, which are the same on every machine.

    Returns:
        uint8 (n, H, W, 3), as `read_image` reads them.

    Raises:
        InputError: Sizes or numbers that are not whole, no image as large as a crop, or what `find_images` and `read_image`
            refuse.

    Warns:
        UserWarning: Some images are smaller than a crop and were left out; the message counts them.
    """
    height, width = _as_size(size)
    check_whole("n", n, 1, MOST_CROPS)
    check_seed(seed)
    paths = as_paths(folder_or_paths)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))
    chosen = _large_enough([paths[i] for i in order], (height, width), n)
    positions = rng.random((n, 2))
    crops = np.empty((n, height, width, 3), np.uint8)
    for first, path in enumerate(chosen):
        image = read_image(path)
        room = np.array(image.shape[:2]) - (height, width) + 1
        for i in range(first, n, len(chosen)):
            top, left = (positions[i] * room).astype(int)
            crops[i] = image[top : top + height, left : left + width]
    return crops


def crop_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """The centre of an image whose height and width are multiples of an autoencoder's stride.

    Args:
        image: (H, W, C), or several images (n, H, W, C).
        multiple: The stride, 8 for the autoencoders of Stable Diffusion and FLUX.

    Returns:
        A view of the image without at most `multiple` - 1 rows and columns.

    Raises:
        InputError: Another number of axes, or an image smaller than `multiple`.
    """
    check_whole("multiple", multiple, 1, LARGEST_SIZE)
    image = as_array("image", image)
    if image.ndim not in (3, 4):
        raise InputError(f"image: expected shape (H, W, C) or (n, H, W, C), found {image.shape}; reshape it.")
    height, width = image.shape[-3:-1]
    if min(height, width) < multiple:
        raise InputError(
            f"image: expected at least {multiple}x{multiple} pixels, found {height}x{width}; take a larger image."
        )
    top, left = height % multiple // 2, width % multiple // 2
    bottom, right = top + height // multiple * multiple, left + width // multiple * multiple
    return image[..., top:bottom, left:right, :]


def _as_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of a crop."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2:
        raise InputError(f"size: expected a number or (height, width), found {shown(size)}; change it.")
    for side in sides:
        check_whole("size", side, 1, LARGEST_SIZE)
    return sides[0], sides[1]


def _large_enough(paths: list[pathlib.Path], size: tuple[int, int], n: int) -> list[pathlib.Path]:
    """The first n of the images that hold a crop, or all of them, with a warning that counts those before them that do not."""
    chosen: list[pathlib.Path] = []
    small = 0
    for path in paths:
        height, width = read_size(path)
        if height >= size[0] and width >= size[1]:
            chosen.append(path)
        else:
            small += 1
        if len(chosen) == n:
            break
    wanted = f"{size[0]}x{size[1]} pixels (height x width)"
    if not chosen:
        raise InputError(
            f"size: expected images of at least {wanted}, found {small} that are all smaller; take smaller crops."
        )
    if small:
        warnings.warn(
            f"{small} of the {small + len(chosen)} images drawn are smaller than {wanted} and were left out.",
            stacklevel=3,
        )
    return chosen
