"""Lists of arrays of different shapes: those of one shape are stacked, a bounded number at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from geovq.decoder.autoencoder import BATCH
from geovq.tokenizer.checks import as_code_costs, as_start, as_token_list, check_latent_shape
from geovq.tokenizer.images import as_crops, check_image_list, check_images_of, check_same_dtype
from geovq.tokenizer.parts import Parts
from geovq.validation import InputError, as_array, check_length

PIXELS = 256 * 64 * 64
"""Pixels of a batch: 256 images up to 64x64, 16 of 256x256."""

_BATCHES = 4
"""Batches of the encoder whose images are stacked together: 64 images of 256x256, 50 MB of floats."""

Arrays = Callable[..., np.ndarray]
"""A method of a tokenizer that takes arrays and gives an array; each row is by itself."""


def encode_list(
    encode: Arrays, parts: Parts, images: Sequence[Any], given: dict[str, Any], *, pad: bool
) -> list[np.ndarray]:
    """Tokens of images (H, W, C), by `Tokenizer.encode` of arrays; `given` as for `check_lists`."""
    sizes = parts.vae.sizes
    images = check_image_list(images, sizes, pad=pad)
    check_lists(parts, [sizes.grid_of(image.shape) for image in images], given)
    return map_alike(encode, images, given, image_shape=lambda shape: shape)


def assign_list(assign: Arrays, parts: Parts, latents: Sequence[Any], given: dict[str, Any]) -> list[np.ndarray]:
    """Tokens of latents (h, w, d), by `Tokenizer.assign_latents` of arrays; `given` as for `check_lists`."""
    sizes = parts.vae.sizes
    for i, each in enumerate(latents):
        check_latent_shape(f"latents[{i}]", np.shape(each), parts.codebook, sizes.only_grid)
    check_lists(parts, [np.shape(each)[:2] for each in latents], given)
    return map_alike(assign, latents, given, image_shape=sizes.image_of)


def decode_list(decode: Arrays, parts: Parts, tokens: Sequence[Any], image_shapes: Any) -> list[np.ndarray]:
    """Images of tokens (h, w) or (h, w, S), by `Tokenizer.decode` of arrays, cropped as `as_crops` says."""
    sizes = parts.vae.sizes
    grids = as_token_list(tokens, parts.codebook, sizes.only_grid)
    crops = as_crops(image_shapes, [sizes.image_of(grid.shape) for grid in grids], sizes)
    images = map_alike(decode, grids, {}, image_shape=sizes.image_of)
    return [image[:height, :width] for image, (height, width) in zip(images, crops, strict=True)]


def dequantize_list(dequantize: Arrays, parts: Parts, tokens: Sequence[Any]) -> list[np.ndarray]:
    """Latents of tokens (h, w) or (h, w, S), by `Tokenizer.dequantize` of arrays."""
    sizes = parts.vae.sizes
    return map_alike(dequantize, as_token_list(tokens, parts.codebook, sizes.only_grid), {}, image_shape=sizes.image_of)


def images_at_once(image_shape: tuple[int, ...]) -> int:
    """Images (H, W, C) of a list that are stacked: whole batches, or single images where they are very large."""
    pixels = max(1, math.prod(image_shape[:2]))
    batch = max(1, min(BATCH, PIXELS // pixels))
    return max(1, _BATCHES * PIXELS // pixels // batch) * batch


def map_alike(
    function: Arrays,
    items: Sequence[Any],
    given: dict[str, Any],
    *,
    image_shape: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> list[np.ndarray]:
    """What a function of arrays gives for every item of a list; rows must not influence each other.

    Args:
        function: Takes m items stacked (m, ...), and of every list beside them as many by its name, or None; returns (m, ...).
        items: Arrays of any shapes.
        given: As many arrays of each name, or None; where the shapes of items are alike, these are alike, too.
        image_shape: Shape (H, W, ...) of the image that an item of such a shape belongs to, which decides how many are stacked.

    Returns:
        The results in the order of the items. No more memory than these and one stack is taken.
    """
    found: list[Any] = [None] * len(items)
    for indices in _alike([np.shape(each) for each in items], image_shape):
        stacks = {name: None if values is None else _stack(values, indices) for name, values in given.items()}
        for i, one in zip(indices, function(_stack(items, indices), **stacks), strict=True):
            found[i] = one
    return found


def _stack(values: Sequence[Any], indices: list[int]) -> np.ndarray:
    return np.stack([np.asarray(values[i]) for i in indices])


def _alike(
    shapes: list[tuple[int, ...]], image_shape: Callable[[tuple[int, ...]], tuple[int, ...]]
) -> Iterator[list[int]]:
    """Indices of items of one shape, so many that their images may be stacked."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    for shape, indices in groups.items():
        count = images_at_once(image_shape(shape))
        yield from (indices[i : i + count] for i in range(0, len(indices), count))


def check_lists(parts: Parts, grids: list[tuple[int, int]], given: dict[str, Any]) -> None:
    """Refuses lists that do not fit a list of grids, before anything is computed.

    Args:
        parts: The tokenizer's.
        grids: (h, w) of every item.
        given: "images", "metrics", "start" or "code_costs", each a list, or None.

    Raises:
        InputError: With the index of the first item that does not fit.
    """
    vae, codebook, assigner = parts
    lists = {name: values for name, values in given.items() if values is not None}
    for name, values in lists.items():
        check_length(name, values, len(grids))
    for name, values in lists.items():
        for i, grid in enumerate(grids):
            label = f"{name}[{i}]"
            one = as_array(label, values[i])[None]
            if name == "images":
                check_images_of(one, vae.sizes.image_of(grid), 1, label)
                check_same_dtype(label, one, values[0])
            elif name == "start":
                as_start(one, assigner, codebook, 1, grid, label)
            elif name == "code_costs":
                as_code_costs(one, assigner, codebook, 1, grid, label)
            elif one.shape != (1, *(wanted := (*grid, vae.channels, vae.channels))):
                raise InputError(f"{label}: expected one per token, {wanted}, found {one.shape[1:]}.")
