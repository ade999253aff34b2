"""Images of a corpus, shard after shard, read by grain: ahead of time, by threads, and in the same order everywhere."""

import abc
import bisect
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from geovq.validation import InputError

HEAD = 1 << 16
"""Bytes of a file by which it is told from another of the same name and size."""

_THREADS, _AHEAD = 4, 8
"""Threads that read, and blocks that are read ahead."""


class Record(NamedTuple):
    """One image of a corpus."""

    name: str
    """Unique in its corpus: a relative path with slashes."""
    image: UInt8[np.ndarray, "H W C"] | None
    """None where it cannot be read."""
    label: str | int | None = None
    error: str = ""
    """Why it cannot be read."""


class ImageShard(abc.ABC):
    """Some images of a corpus, any of which can be read; the unit of work, and of what is written."""

    name: str
    """Unique in its corpus."""
    block: int
    """Images that are best read together."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images; of a tar the headers of its members are read for it."""

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> list[Record]:
        """Images start to stop - 1; one that cannot be read has an error instead of pixels. Called by several threads."""

    @abc.abstractmethod
    def identity(self) -> bytes:
        """What differs if the shard is another one: names, or a file's size, and its first bytes."""


def read_records(shard: ImageShard, start: int = 0) -> Iterator[Record]:
    """Images of a shard in order.

    Args:
        shard: The shard.
        start: The first that is read; the others before it are not opened.

    Raises:
        InputError: grain is not installed, or a file of many images that cannot be read at all.
    """
    return _read(_Blocks(shard, start))


def read_chosen(shards: Sequence[ImageShard], indices: Int[np.ndarray, " m"]) -> Iterator[Record]:
    """Some images of a corpus, in the order of their indices; no other one is opened.

    Args:
        shards: All of the corpus.
        indices: From 0 to the number of all images, counted through the shards in their order.

    Raises:
        InputError: As `read_records`.
    """
    return _read(_Chosen(shards, indices))


def fingerprint(shards: Sequence[ImageShard]) -> str:
    """SHA-256 by which a corpus is known again: names, sizes and first bytes, not the whole content."""
    found = hashlib.sha256()
    for shard in shards:
        for part in (shard.name.encode(errors="surrogateescape"), shard.identity()):
            found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


class _Blocks:
    """Consecutive images of a shard, as a data source of grain."""

    def __init__(self, shard: ImageShard, start: int):
        self._shard, self._starts = shard, range(start, len(shard), shard.block)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> list[Record]:
        start = self._starts[number]
        return self._shard.read(start, min(start + self._shard.block, self._starts.stop))


class _Chosen:
    """Single images of several shards, as a data source of grain."""

    def __init__(self, shards: Sequence[ImageShard], indices: Int[np.ndarray, " m"]):
        self._shards, self._indices = shards, indices
        self._ends = list(itertools.accumulate(len(shard) for shard in shards))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> list[Record]:
        index = int(self._indices[number])
        shard = bisect.bisect_right(self._ends, index)
        i = index - (self._ends[shard - 1] if shard else 0)
        return self._shards[shard].read(i, i + 1)


def _read(source: _Blocks | _Chosen) -> Iterator[Record]:
    if not len(source):
        return
    grain = import_grain()
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    blocks = iter(grain.MapDataset.source(source).to_iter_dataset(options))
    try:
        yield from itertools.chain.from_iterable(blocks)
    finally:  # a caller may stop before the end
        blocks.close()


def import_grain() -> ModuleType:
    """The package grain, which only corpora need.

    Raises:
        InputError: It is not installed.
    """
    try:
        import grain
    except ImportError as error:
        raise InputError(
            f"corpus: expected grain to be installed, found: {error}; run pip install 'geovq[corpus]'."
        ) from error
    return grain
