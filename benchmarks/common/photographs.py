"""Crops of photographs in a folder: drawn at random to train on, at fixed positions to score."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from geovq.corpus.folder import find_images
from geovq.corpus.pixels import read_image
from geovq.validation import InputError

Photograph = UInt8[np.ndarray, "_ _ 3"]


def read_photographs(folder: pathlib.Path, at_most: int | None = None) -> list[Photograph]:
    """The photographs of a folder in the order of their names.

    Raises:
        InputError: A folder without any.
    """
    return [read_image(path) for path in find_images(folder)[:at_most]]


def draw_batch(photographs: Sequence[Photograph], size: int, n: int, *seed: int) -> UInt8[np.ndarray, "n size size 3"]:
    """Crops at random positions of random photographs, half of them mirrored; a pure function of the seed."""
    _check_sizes(photographs, size)
    rng = np.random.default_rng(seed)
    found = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        photograph = photographs[int(rng.integers(len(photographs)))]
        row, column = (rng.integers(side - size + 1) for side in photograph.shape[:2])
        crop = photograph[row : row + size, column : column + size]
        found[i] = crop[:, ::-1] if rng.integers(2) else crop
    return found


def fixed_crops(photographs: Sequence[Photograph], size: int, count: int) -> UInt8[np.ndarray, "n size size 3"]:
    """`count` crops of every photograph, at positions that divide its two diagonals evenly, in turn."""
    _check_sizes(photographs, size)
    found = []
    for photograph in photographs:
        height, width = photograph.shape[:2]
        for i in range(count):
            along = (i + 1) / (count + 1)
            across = along if i % 2 == 0 else 1 - along
            row, column = round(along * (height - size)), round(across * (width - size))
            found.append(photograph[row : row + size, column : column + size])
    return np.stack(found)


def _check_sizes(photographs: Sequence[Photograph], size: int) -> None:
    """Refuses photographs that are smaller than a crop."""
    small = [photograph.shape[:2] for photograph in photographs if min(photograph.shape[:2]) < size]
    if small:
        height, width = small[0]
        raise InputError(
            f"photographs: expected at least {size}x{size} pixels, found {len(small)} smaller ones, such as {height}x{width}; "
            "leave them out of the folder."
        )
