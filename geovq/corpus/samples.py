"""A seeded sample of a corpus, of bounded size: crops to fit a tokenizer to, and whole images to score it on.

Images are drawn by their place in the corpus, so a sample does not depend on how the corpus is cut into shards.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from geovq.corpus.crops import MOST_CROPS
from geovq.corpus.records import ImageShard, Record, read_chosen
from geovq.validation import LARGEST_SIZE, InputError, check_seed, check_whole, shown


class Sample(NamedTuple):
    """Crops of a corpus."""

    crops: UInt8[np.ndarray, "n H W C"]
    images: int
    """Of so many images."""
    small: int
    """Images drawn that are smaller than a crop."""
    unreadable: list[str]
    """What is wrong with images drawn that cannot be read."""


def sample_crops(
    shards: Sequence[ImageShard],
    size: int,
    n: int,
    seed: int = 0,
    *,
    progress: Callable[[int], None] = lambda crops: None,
) -> Sample:
    """Square crops, drawn as `draw_crops` draws them; images that cannot be read are left out, too.

    Args:
        shards: Of the corpus, as `open_images` gives them. As many images are opened as are needed, each twice at most.
        size: Pixels of a side.
        n: Number of crops, all of which are in memory.
        seed: Of the order of the images and of the positions.
        progress: Called with the crops that were cut.

    Raises:
        InputError: No image as large as a crop, images of different channels, or numbers that are not whole.
    """
    if not (isinstance(shards, Sequence) and shards and all(isinstance(shard, ImageShard) for shard in shards)):
        raise InputError(f"shards: expected what open_images gives, found {shown(shards)}; pass that.")
    check_whole("size", size, 1, LARGEST_SIZE)
    check_whole("n", n, 1, MOST_CROPS)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(sum(len(shard) for shard in shards))
    positions = rng.random((n, 2))
    chosen: list[int] = []
    found: dict[int, np.ndarray] = {}
    small, largest, unreadable = 0, 0, []
    for index, record in zip(order, read_chosen(shards, order), strict=True):
        if record.image is None:
            unreadable.append(record.error)
        elif (side := min(record.image.shape[:2])) < size:
            small, largest = small + 1, max(largest, side)
        else:
            found[len(chosen)] = _cut(record.image, size, positions[len(chosen)])
            chosen.append(int(index))
            progress(1)
        if len(chosen) == n:
            break
    if not chosen:
        raise InputError(
            f"images: expected images of at least {size}x{size} pixels, found {small:,} smaller ones, of up to {largest} on the "
            f"shorter side, and {len(unreadable):,} that cannot be read; take smaller crops or other images."
        )
    if len(chosen) < n:
        for first, record in enumerate(read_chosen(shards, np.array(chosen))):
            for i in range(first + len(chosen), n, len(chosen)):
                found[i] = _cut(_readable(record), size, positions[i])
                progress(1)
    channels = {crop.shape[-1] for crop in found.values()}
    if len(channels) > 1:
        raise InputError(f"images: expected images of the same channels, found {sorted(channels)}; convert them.")
    return Sample(np.stack([found[i] for i in range(n)]), len(chosen), small, unreadable)


def sample_images(shards: Sequence[ImageShard], max_images: int, seed: int = 0) -> Iterator[Record]:
    """Images drawn at random that can be read, one after the other.

    Args:
        shards: Of the corpus.
        max_images: How many; all where there are fewer, in random order.
        seed: Of the draw.
    """
    check_whole("max_images", max_images)
    check_seed(seed)
    order = np.random.default_rng(seed).permutation(sum(len(shard) for shard in shards))
    for record in read_chosen(shards, order):
        if record.image is not None:
            yield record
            max_images -= 1
        if not max_images:
            return


def _readable(record: Record) -> np.ndarray:
    """The pixels of an image that was read before."""
    if record.image is None:
        raise InputError(f"{record.error} It could be read a moment ago.")
    return record.image


def _cut(image: np.ndarray, size: int, position: np.ndarray) -> np.ndarray:
    top, left = (position * (np.array(image.shape[:2]) - size + 1)).astype(int)
    return image[top : top + size, left : left + size].copy()
