"""Lists of arrays of different shapes: those of one shape are stacked, a bounded number at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from geovq.assignment.base import Assigner, Codebook
from geovq.decoder.autoencoder import BATCH
from geovq.decoder.sizes import Sizes
from geovq.tokenizer.checks import as_code_costs, as_start
from geovq.tokenizer.images import check_images_of, check_same_dtype
from geovq.validation import InputError, as_array, check_length

PIXELS = 256 * 64 * 64
"""Pixels of a batch: 256 images up to 64x64, 16 of 256x256."""

_BATCHES = 4
"""Batches of the encoder whose images are stacked together: 64 images of 256x256, 50 MB of floats."""


def images_at_once(image_shape: tuple[int, ...]) -> int:
    """Images (H, W, C) of a list that are stacked: whole batches, or single images where they are very large."""
    pixels = max(1, math.prod(image_shape[:2]))
    batch = max(1, min(BATCH, PIXELS // pixels))
    return max(1, _BATCHES * PIXELS // pixels // batch) * batch


def map_alike(
    function: Callable[..., np.ndarray],
    first: Sequence[np.ndarray],
    *others: Sequence[np.ndarray] | None,
    image_shape: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> list[np.ndarray]:
    """What a function of arrays gives for every item of lists; rows must not influence each other.

    Args:
        function: Takes, of every list, the arrays of m items stacked (m, ...), and None for None; returns (m, ...).
        first: Arrays of any shapes.
        others: As many of each; where the shapes of the first are alike, these are alike, too.
        image_shape: Shape (H, W, ...) of the image that an item of such a shape belongs to, which decides how many are stacked.

    Returns:
        The results in the order of the items. No more memory than these and one stack is taken.
    """
    found: list[Any] = [None] * len(first)
    for indices in _alike([np.shape(each) for each in first], image_shape):
        stacks = [
            None if each is None else np.stack([np.asarray(each[i]) for i in indices]) for each in (first, *others)
        ]
        for i, one in zip(indices, function(*stacks), strict=True):
            found[i] = one
    return found


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


def check_lists(
    codebook: Codebook,
    assigner: Assigner,
    sizes: Sizes,
    grids: list[tuple[int, int]],
    given: dict[str, Sequence[Any] | None],
) -> None:
    """Refuses lists that do not fit a list of grids, before anything is computed.

    Args:
        codebook: The tokenizer's.
        assigner: The tokenizer's.
        sizes: What its VAE takes.
        grids: (h, w) of every item.
        given: "images", "metrics", "start" or "code_costs", each a list, or None.

    Raises:
        InputError: With the index of the first item that does not fit.
    """
    lists = {name: values for name, values in given.items() if values is not None}
    for name, values in lists.items():
        check_length(name, values, len(grids))
    d = codebook.codes.shape[-1]
    for name, values in lists.items():
        for i, grid in enumerate(grids):
            label = f"{name}[{i}]"
            one = as_array(label, values[i])[None]
            if name == "images":
                check_images_of(one, sizes.image_of(grid), 1, label)
                check_same_dtype(label, one, values[0])
            elif name == "start":
                as_start(one, assigner, codebook, 1, grid, label)
            elif name == "code_costs":
                as_code_costs(one, assigner, codebook, 1, grid, label)
            elif one.shape != (1, *grid, d, d):
                raise InputError(f"{label}: expected one per token, {(*grid, d, d)}, found {one.shape[1:]}.")
