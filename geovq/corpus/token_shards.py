"""Tokens on disk: a folder of shards of memory-mappable integers, with names, grids, labels and checksums.

    tokens/
        index.json       which tokenizer made them, and, once all are there, every shard with its checksum
        00000.bin        tokens of a shard, grid after grid, row after row, little-endian, of the smallest width that holds K
        00000.json       names, grids and labels of its images, what could not be read, and the checksum of 00000.bin

A shard is there when its JSON is, which is written last; both files are whole or absent. So a folder can be written by many
processes, and a killed one goes on with the shards that are missing.
"""

import bisect
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Int

from geovq.storage import read_json, write_bytes, write_json
from geovq.validation import InputError, check_whole

_KIND, _VERSION = "geovq.tokens", 1
_INDEX = "index.json"

Grid = Int[np.ndarray, "h w"] | Int[np.ndarray, "h w S"]
"""Tokens of an image; with the axis S where a token has several codes."""


class Header(NamedTuple):
    """What all shards of a folder have in common."""

    tokenizer: str
    """SHA-256 of the tokenizer's file."""
    num_codes: int
    """K, of each quantizer."""
    num_quantizers: int
    """S, the codes of a token."""
    source: str
    """SHA-256 of the names of all images and shards that go in."""
    num_shards: int

    @property
    def dtype(self) -> np.dtype:
        """Of the integers on disk."""
        return smallest_dtype(self.num_codes)


class Unreadable(NamedTuple):
    """An image that could not be read."""

    name: str
    message: str


class Shard(NamedTuple):
    """The tokens of some images, in order."""

    names: Sequence[str]
    grids: Sequence[Grid]
    labels: Sequence[str | int] | None
    """One for each image; None where images have none."""
    unreadable: Sequence[Unreadable] = ()


class Image(NamedTuple):
    """The tokens of one image."""

    name: str
    tokens: Grid
    label: str | int | None


def smallest_dtype(num_codes: int) -> np.dtype:
    """The smallest unsigned integers, little-endian, that hold 0..K-1."""
    check_whole("num_codes", num_codes)
    return np.min_scalar_type(num_codes - 1).newbyteorder("<")


def begin(folder: str | os.PathLike, header: Header) -> None:
    """Makes the folder, or finds it begun with the same header.

    Raises:
        InputError: It was begun with another tokenizer or other images, or holds something else.
    """
    folder = pathlib.Path(folder)
    path = folder / _INDEX
    if path.exists():
        found = _read_index(folder)
        begun = {name: found[name] for name in header._fields}
        if begun != header._asdict():
            changed = ", ".join(name for name, value in header._asdict().items() if begun[name] != value)
            raise InputError(
                f"{folder}: expected tokens of the same tokenizer and images, found another {changed}; choose another folder, or "
                "remove this one."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected no such folder, or an empty one, found other files; choose another.")
    write_json(path, {"kind": _KIND, "version": _VERSION, **header._asdict(), "shards": None})


def has_shard(folder: pathlib.Path, number: int) -> bool:
    """Whether a shard is there."""
    return (folder / f"{number:05}.json").exists()


def write_shard(folder: pathlib.Path, number: int, header: Header, shard: Shard) -> None:
    """Writes a shard; its JSON last.

    Raises:
        InputError: The disk is full, or the files cannot be written.
    """
    flat = [np.asarray(grid).reshape(-1) for grid in shard.grids]
    data = (np.concatenate(flat) if flat else np.empty(0)).astype(header.dtype).tobytes()
    write_bytes(folder / f"{number:05}.bin", data)
    write_json(
        folder / f"{number:05}.json",
        {
            "names": list(shard.names),
            "grids": [list(grid.shape[:2]) for grid in shard.grids],
            "labels": None if shard.labels is None else list(shard.labels),
            "unreadable": [list(each) for each in shard.unreadable],
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    )


def finish(folder: str | os.PathLike) -> None:
    """Writes all shards into the index: the folder is complete.

    Raises:
        InputError: A shard is missing.
    """
    folder = pathlib.Path(folder)
    found = _read_index(folder)
    shards = []
    for number in range(found["num_shards"]):
        shard = _read_shard(folder, number)
        shards.append({"images": len(shard["names"]), "unreadable": len(shard["unreadable"]), "sha256": shard["sha256"]})
    write_json(folder / _INDEX, found | {"shards": shards})


class TokenFolder(Sequence[Image]):
    """The tokens of a corpus, in order; opened by `open_tokens`. Tokens are read from disk as they are asked for."""

    def __init__(self, folder: pathlib.Path, header: Header, shards: Sequence[dict[str, Any]]):
        """Keeps names and grids in memory, and none of the tokens.

        Args:
            folder: The folder.
            header: Of its index.
            shards: The contents of the shards' JSON.
        """
        self.header = header
        self._folder, self._shards = folder, shards
        self._ends = list(np.cumsum([len(shard["names"]) for shard in shards], dtype=int))
        sizes = [header.num_quantizers * np.array([h * w for h, w in shard["grids"]], int) for shard in shards]
        self._offsets = [np.concatenate([[0], np.cumsum(each)]).astype(int) for each in sizes]
        self._flat: dict[int, np.ndarray] = {}

    def __repr__(self) -> str:
        """Images, tokens and codes in one line."""
        codes = f"{self.header.num_quantizers} x {self.header.num_codes}" if self.header.num_quantizers > 1 else f"{self.header.num_codes}"
        return f"<TokenFolder: {len(self):,} images, {self.num_tokens:,} tokens of {codes} codes, in {len(self._shards)} shards>"

    def __len__(self) -> int:
        """Number of images."""
        return self._ends[-1] if self._ends else 0

    @property
    def num_tokens(self) -> int:
        """Of all images; a token with several codes counts once."""
        return sum(int(offsets[-1]) for offsets in self._offsets) // self.header.num_quantizers

    @property
    def unreadable(self) -> list[Unreadable]:
        """Images of the corpus that could not be read, and have no tokens."""
        return [Unreadable(*each) for shard in self._shards for each in shard["unreadable"]]

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        """One image's tokens, or those of several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        index %= len(self)
        number = bisect.bisect_right(self._ends, index)
        i = index - (self._ends[number - 1] if number else 0)
        shard, offsets = self._shards[number], self._offsets[number]
        shape = (*shard["grids"][i], self.header.num_quantizers)
        tokens = self.stream(number)[offsets[i] : offsets[i + 1]].reshape(shape)
        label = None if shard["labels"] is None else shard["labels"][i]
        return Image(shard["names"][i], tokens if shape[-1] > 1 else tokens[..., 0], label)

    def __iter__(self) -> Iterator[Image]:
        """All images in order."""
        return (self[i] for i in range(len(self)))

    @property
    def num_shards(self) -> int:
        """Shards of the folder."""
        return len(self._shards)

    def stream(self, number: int) -> Int[np.ndarray, " m"]:
        """The tokens of a shard, grid after grid, mapped from its file."""
        if number not in self._flat:
            path, count = self._folder / f"{number:05}.bin", int(self._offsets[number][-1])
            size = path.stat().st_size if path.exists() else -1
            if size != count * self.header.dtype.itemsize:
                raise InputError(
                    f"{path}: expected {count * self.header.dtype.itemsize:,} bytes, found {'no file' if size < 0 else f'{size:,}'}; "
                    f"remove {path.with_suffix('.json')} and encode again."
                )
            # An empty file cannot be mapped.
            self._flat[number] = np.memmap(path, self.header.dtype, "r") if count else np.empty(0, self.header.dtype)
        return self._flat[number]

    def verify(self) -> None:
        """Reads everything and compares it with the checksums.

        Raises:
            InputError: A shard's tokens are not those that were written.
        """
        for number, shard in enumerate(self._shards):
            found = hashlib.sha256(self.stream(number)).hexdigest()
            if found != shard["sha256"]:
                path = self._folder / f"{number:05}.bin"
                raise InputError(
                    f"{path}: expected tokens with sha256 {shard['sha256']}, found {found}: the file is damaged; remove it and "
                    f"{path.with_suffix('.json')}, and encode again."
                )


def open_tokens(folder: str | os.PathLike) -> TokenFolder:
    """Opens a complete folder of tokens; its tokens are mapped into memory, and not read.

    Args:
        folder: What `geovq encode` wrote.

    Returns:
        Its images in order: `tokens[5].tokens` are the tokens (h, w) of the sixth.

    Raises:
        InputError: No such folder, one that is not complete, or damaged files.
    """
    folder = pathlib.Path(folder)
    found = _read_index(folder)
    if found["shards"] is None:
        there = sum(has_shard(folder, number) for number in range(found["num_shards"]))
        raise InputError(
            f"{folder}: expected all of its {found['num_shards']} shards, found {there}; run the command again that began it."
        )
    shards = [_read_shard(folder, number) for number in range(found["num_shards"])]
    for number, (shard, known) in enumerate(zip(shards, found["shards"], strict=True)):
        if shard["sha256"] != known["sha256"]:
            raise InputError(
                f"{folder / f'{number:05}.json'}: expected the shard that the index names, found another; encode into a new folder."
            )
    return TokenFolder(folder, _header(found), shards)


def _header(index: dict[str, Any]) -> Header:
    return Header(*(index[name] for name in Header._fields))


def _read_index(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / _INDEX
    if not path.exists():
        raise InputError(f"{folder}: expected a folder of tokens, found no {_INDEX} in it; pass what `geovq encode` wrote.")
    found = read_json(path)
    wanted = {"kind", "version", "shards", *Header._fields}
    if not isinstance(found, dict) or found.keys() != wanted or (found["kind"], found["version"]) != (_KIND, _VERSION):
        raise InputError(f"{path}: expected the index of tokens of this version, found another file; encode again.")
    return found


def _read_shard(folder: pathlib.Path, number: int) -> dict[str, Any]:
    path = folder / f"{number:05}.json"
    found = read_json(path)
    if not isinstance(found, dict) or found.keys() != {"names", "grids", "labels", "unreadable", "sha256"}:
        raise InputError(f"{path}: expected names, grids and labels of a shard, found another file; remove it and encode again.")
    return found


def export_stream(tokens: TokenFolder, path: str | os.PathLike, *, separator: bool = True) -> np.dtype:
    """Writes all tokens as one flat file of integers, as trainers of language models map it.

    Args:
        tokens: An opened folder.
        path: The file, replaced only when the new one is whole.
        separator: Whether K stands before every image.

    Returns:
        The dtype of the integers.
    """
    count = tokens.header.num_codes + separator
    dtype = smallest_dtype(count)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            for image in tokens:
                if separator:
                    file.write(np.array([tokens.header.num_codes], dtype).tobytes())
                file.write(image.tokens.astype(dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return dtype

