"""What the JSON files of a token folder may hold: whatever a stranger wrote is checked before it is used."""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from geovq.validation import check_whole

_LARGEST = 1 << 40
"""Of the numbers in them: images, shards, codes, rows and columns."""


class Header(NamedTuple):
    """What all shards of a folder have in common."""

    tokenizer: str
    """SHA-256 of the tokenizer's file."""
    assigner: str
    """How tokens were chosen."""
    num_codes: int
    """K, of each quantizer."""
    num_quantizers: int
    """S, the codes of a token."""
    images: str
    """By which the corpus is known again, see `geovq.corpus.records.fingerprint`."""
    num_shards: int

    @property
    def dtype(self) -> np.dtype:
        """Of the integers on disk."""
        return smallest_dtype(self.num_codes)


class Entry(NamedTuple):
    """What the index says of a shard."""

    images: int
    left_out: int
    grids: list[tuple[int, int, int]]
    """Height and width of every grid that occurs, in order, and how often."""
    sha256: str
    """Of its tokens."""
    sha256_of_names: str
    """Of its JSON."""


class Contents(NamedTuple):
    """The JSON of a shard: its images in order, and those that have no tokens."""

    names: list[str]
    grids: list[tuple[int, int]]
    sizes: list[tuple[int, int]]
    """Height and width of the images in pixels."""
    labels: list[str | int | None]
    left_out: list[tuple[str, str]]
    """Names, and why."""
    sha256: str
    """Of the tokens."""

    @property
    def counted(self) -> list[tuple[int, int, int]]:
        """The grids as an index has them."""
        return [(*grid, count) for grid, count in sorted(collections.Counter(self.grids).items())]


def smallest_dtype(count: int) -> np.dtype:
    """The smallest unsigned integers, little-endian, that hold 0..count-1."""
    check_whole("count", count)
    return np.min_scalar_type(count - 1).newbyteorder("<")


def as_header(found: dict[str, Any]) -> Header:
    """The header of an index.

    Raises:
        ValueError: A value is missing or of another kind.
    """
    header = Header(*(found[name] for name in Header._fields))
    _texts([header.tokenizer, header.assigner, header.images])
    _numbers([header.num_codes, header.num_quantizers], least=1)
    _numbers([header.num_shards])
    return header


def as_entry(found: dict[str, Any]) -> Entry:
    """A shard's part of an index; errors as `as_header`."""
    entry = Entry(**found)
    _numbers([entry.images, entry.left_out])
    _texts([entry.sha256, entry.sha256_of_names])
    grids = [(h, w, count) for h, w, count in entry.grids]
    for grid in grids:
        _numbers(grid, least=1)
    if sum(count for *_, count in grids) != entry.images or len({grid[:2] for grid in grids}) != len(grids):
        raise ValueError(f"grids of {entry.images} images expected, {grids} found")
    return entry._replace(grids=grids)


def as_contents(found: dict[str, Any]) -> Contents:
    """The JSON of a shard; errors as `as_header`."""
    grids, sizes = ([(h, w) for h, w in found[name]] for name in ("grids", "sizes"))
    left_out = [(name, why) for name, why in found["left_out"]]
    contents = Contents(**{**found, "grids": grids, "sizes": sizes, "left_out": left_out})
    for pair in (*grids, *sizes):
        _numbers(pair, least=1)
    _texts([*contents.names, *(text for pair in left_out for text in pair), contents.sha256])
    _texts([label for label in contents.labels if label is not None and type(label) is not int])
    if len({len(part) for part in (contents.names, grids, sizes, contents.labels)}) != 1:
        raise ValueError("as many names as grids, sizes and labels expected, others found")
    return contents


def _numbers(values: Sequence[object], least: int = 0) -> None:
    for value in values:
        if type(value) is not int or not least <= value <= _LARGEST:
            raise ValueError(f"a whole number of at least {least} expected, {value!r:.80} found")


def _texts(values: Sequence[object]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"text expected, {value!r:.80} found")
