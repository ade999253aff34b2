"""Long computations over many images, block by block, so that one that was killed computes little again."""

import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.files import turn
from geovq.validation import InputError

IMAGES = 1000
"""Images of a block."""


def in_blocks(
    folder: pathlib.Path,
    compute: Callable[[slice], np.ndarray],
    n: int,
    progress: Callable[[int], None],
    saved: Callable[[], None],
) -> np.ndarray:
    """Rows of n images, each block computed once and kept as a file until `remove`.

    Args:
        folder: Where the blocks are kept.
        compute: The rows of some images; counts them as progress itself.
        n: Images.
        progress: Called for blocks that were there already.
        saved: Called after each block that was not.

    Returns:
        All rows.

    Raises:
        InputError: The disk is full.
    """
    parts = []
    for start in range(0, n, IMAGES):
        path = folder / f"{start:06d}.npz"
        rows = _stored(path)
        if rows is None:
            rows = compute(slice(start, start + IMAGES))
            save_arrays(path, {"rows": rows}, {})
            saved()
        else:
            progress(len(rows))
        parts.append(rows)
    return np.concatenate(parts)


def _stored(path: pathlib.Path) -> np.ndarray | None:
    """The rows of a block, or None where there is none that is whole."""
    if not path.exists():
        return None
    try:
        return load_arrays(path)[0]["rows"]
    except InputError:
        print(f"{path}: damaged, computed again", flush=True)
        return None


def remove(folder: pathlib.Path) -> None:
    """Removes the blocks, once what they were for is on the disk."""
    with turn() as mine:
        if mine:
            shutil.rmtree(folder, ignore_errors=True)
