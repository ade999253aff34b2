"""Tokens of a corpus as they are on disk: single images, arrays of one grid, or one flat stream after the other."""

import bisect
import collections
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Integer

from geovq.corpus.token_files import Contents, Entry, Header
from geovq.corpus.token_shards import LeftOut, Tokens, damaged, read_index, read_shard, shard_path
from geovq.storage.paths import as_path
from geovq.validation import InputError


class Image(NamedTuple):
    """The tokens of one image."""

    name: str
    tokens: Tokens
    label: str | int | None
    size: tuple[int, int]
    """Height and width of the image in pixels, which `Tokenizer.decode` takes as `image_shape`."""


class TokenFolder(Sequence[Image]):
    """The tokens of a corpus, in order; opened by `open_tokens`. What is asked for is read, and one shard's names are kept."""

    def __init__(self, folder: pathlib.Path, header: Header, entries: Sequence[Entry]):
        """Reads nothing.

        Args:
            folder: The folder.
            header: Of its index.
            entries: Of its index, one for each shard.
        """
        self.header, self.entries, self._folder = header, entries, folder
        self._ends = list(itertools.accumulate((entry.images for entry in entries), initial=0))
        self._streams: dict[int, np.ndarray] = {}
        self._names: tuple[int, Contents, np.ndarray] | None = None

    def __repr__(self) -> str:
        """Images, tokens and codes in one line."""
        codes = f"{self.num_quantizers} x {self.num_codes}" if self.num_quantizers > 1 else f"{self.num_codes}"
        shards = f"{self.num_shards:,} shard{'s' if self.num_shards != 1 else ''}"
        return f"<TokenFolder: {len(self):,} images, {self.num_tokens:,} tokens of {codes} codes, in {shards}>"

    def __len__(self) -> int:
        """Number of images."""
        return self._ends[-1]

    @property
    def num_codes(self) -> int:
        """K, of each quantizer."""
        return self.header.num_codes

    @property
    def num_quantizers(self) -> int:
        """S, the codes of a token."""
        return self.header.num_quantizers

    @property
    def num_shards(self) -> int:
        """Shards of the folder."""
        return len(self.entries)

    @property
    def grids(self) -> Mapping[tuple[int, int], int]:
        """How many images have each grid (h, w)."""
        found: collections.Counter[tuple[int, int]] = collections.Counter()
        for entry in self.entries:
            for h, w, count in entry.grids:
                found[h, w] += count
        return found

    @property
    def num_tokens(self) -> int:
        """Of all images; a token with several codes counts once."""
        return sum(h * w * count for (h, w), count in self.grids.items())

    def left_out(self) -> Iterator[LeftOut]:
        """Images of the corpus that have no tokens, and why."""
        for number, entry in enumerate(self.entries):
            if entry.left_out:
                yield from (LeftOut(*each) for each in self._contents(number)[0].left_out)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        """One image's tokens, or a list of several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        index %= len(self)
        number = bisect.bisect_right(self._ends, index) - 1
        i = index - self._ends[number]
        found, offsets = self._contents(number)
        shape = (*found.grids[i], self.num_quantizers)
        tokens = self._checked(number, self.stream(number)[offsets[i] : offsets[i + 1]]).reshape(shape)
        return Image(found.names[i], tokens if shape[-1] > 1 else tokens[..., 0], found.labels[i], found.sizes[i])

    def __iter__(self) -> Iterator[Image]:
        """All images in order."""
        return itertools.chain.from_iterable(self.shard(number) for number in range(self.num_shards))

    def shard(self, number: int) -> Iterator[Image]:
        """The images of one shard in order."""
        return (self[i] for i in range(self._ends[number], self._ends[number + 1]))

    def stream(self, number: int) -> Integer[np.ndarray, " m"]:
        """The tokens of a shard, grid after grid, mapped from its file.

        Raises:
            InputError: The file is missing or has another size.
        """
        if number not in self._streams:
            path = shard_path(self._folder, number).with_suffix(".bin")
            count = self.num_quantizers * sum(h * w * images for h, w, images in self.entries[number].grids)
            wanted, size = count * self.header.dtype.itemsize, path.stat().st_size if path.exists() else None
            if size != wanted:
                found = "no file" if size is None else f"{size:,} bytes"
                raise damaged(self._folder, number, ".bin", f"{wanted:,} bytes", found)
            # An empty file cannot be mapped.
            self._streams[number] = np.memmap(path, self.header.dtype, "r") if count else np.empty(0, self.header.dtype)
        return self._streams[number]

    def array(self, grid: tuple[int, int] | None = None) -> Integer[np.ndarray, "n h w S"]:
        """Tokens of all images of one grid, in memory, in order.

        Args:
            grid: (h, w); None where all images have the same.

        Returns:
            (n, h, w, S) in the integers on disk; S is 1 where a token has one code.

        Raises:
            InputError: Images have several grids and none is named, or no image has this one; damaged files.
        """
        h, w = grid = self._only_grid() if grid is None else grid
        if grid not in self.grids:
            raise InputError(f"grid: expected one of {self._said_grids()}, found {h}x{w}; choose one of them.")
        shape = (h, w, self.num_quantizers)
        array = np.empty((self.grids[grid], *shape), self.header.dtype)
        done = 0
        for number, entry in enumerate(self.entries):
            stream = self.stream(number)
            if [(h, w)] == [(each[0], each[1]) for each in entry.grids]:
                rows = stream.reshape(-1, *shape)
            else:
                found, offsets = self._contents(number)
                starts = [offsets[i] for i, each in enumerate(found.grids) if each == grid]
                rows = stream[np.add.outer(np.array(starts, int), np.arange(np.prod(shape)))].reshape(-1, *shape)
            array[done : done + len(rows)] = self._checked(number, rows)
            done += len(rows)
        return array

    def labels(self, grid: tuple[int, int] | None = None) -> list[str | int | None] | None:
        """Labels of the images of `array`; None where no image has one."""
        grid = self._only_grid() if grid is None else grid
        found = [
            label
            for number in range(self.num_shards)
            for label, each in zip(self._contents(number)[0].labels, self._contents(number)[0].grids, strict=True)
            if each == grid
        ]
        return None if all(label is None for label in found) else found

    def verify(self) -> None:
        """Reads everything and compares it with the checksums.

        Raises:
            InputError: A shard is not what was written.
        """
        for number, entry in enumerate(self.entries):
            self._contents(number)
            if hashlib.sha256(self.stream(number).data).hexdigest() != entry.sha256:
                raise damaged(self._folder, number, ".bin", "the tokens that were written", "others")

    def _only_grid(self) -> tuple[int, int]:
        if len(self.grids) != 1:
            raise InputError(f"grid: expected images of one grid, found {self._said_grids()}; name one of them.")
        return next(iter(self.grids))

    def _said_grids(self) -> str:
        most = sorted(self.grids.items(), key=lambda item: -item[1])
        said = ", ".join(f"{h}x{w} ({count:,} images)" for (h, w), count in most[:5])
        return said + (f" and {len(most) - 5} others" if len(most) > 5 else "") if said else "none"

    def _contents(self, number: int) -> tuple[Contents, np.ndarray]:
        """The JSON of a shard, and where the tokens of its images begin and end."""
        if self._names is None or self._names[0] != number:
            found, sha256 = read_shard(self._folder, number)
            entry = self.entries[number]
            if (sha256, found.counted, len(found.left_out)) != (entry.sha256_of_names, entry.grids, entry.left_out):
                raise damaged(self._folder, number, ".json", "what the index names", "another file")
            numbers = [self.num_quantizers * h * w for h, w in found.grids]
            self._names = number, found, np.concatenate([[0], np.cumsum(numbers)]).astype(int)
        return self._names[1:]

    def _checked(self, number: int, tokens: np.ndarray) -> np.ndarray:
        """The same tokens of a shard, if all are codes."""
        if tokens.size and (largest := int(tokens.max())) >= self.num_codes:
            raise damaged(self._folder, number, ".bin", f"codes below {self.num_codes}", f"{largest}")
        return tokens


def open_tokens(folder: str | os.PathLike) -> TokenFolder:
    """Opens a complete folder of tokens. Tokens are mapped into memory as they are asked for.

    Args:
        folder: What `geovq encode` wrote.

    Returns:
        Its images in order: `tokens[5].tokens` are the tokens (h, w) of the sixth; `tokens.array()` are all of one grid.

    Raises:
        InputError: No such folder, one that is not complete, or another version.
    """
    folder = as_path("folder", folder)
    return TokenFolder(folder, *read_index(folder))
