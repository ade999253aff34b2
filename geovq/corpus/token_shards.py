"""Tokens on disk: a folder of shards of memory-mappable integers, with names, grids, labels and checksums.

    tokens/
        index.json       which tokenizer and images they are of; once all are there, every shard with its checksums
        00000.bin        tokens of a shard, grid after grid, row after row, little-endian, of the smallest width that holds K
        00000.json       names, grids, sizes and labels of its images, what was left out, and the checksum of 00000.bin

A shard is there when its JSON is, which is written last; every file is whole or absent. So several processes can fill a folder,
and a killed one goes on with the shards that are missing.
"""

import hashlib
import json
import os
import pathlib
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Integer

from geovq.corpus.claims import claim
from geovq.corpus.token_files import Contents, Entry, Header, as_contents, as_entry, as_header
from geovq.storage.files import reading, write_bytes
from geovq.storage.records import read_record, write_record
from geovq.validation import InputError, refusing

INDEX = "index.json"

_KIND, _VERSION = "geovq.tokens", 1

_REMEDY = "restore it from a copy, or encode into a new folder"

_MOST_NAMES = 1 << 30
"""Bytes of a shard's JSON at most; a tar of a million images has some hundred million."""

Tokens = Integer[np.ndarray, "h w"] | Integer[np.ndarray, "h w S"]
"""Of an image; with the axis S where a token has several codes."""


class LeftOut(NamedTuple):
    """An image without tokens."""

    name: str
    why: str


class Shard(NamedTuple):
    """Images of a shard in order, and their tokens."""

    names: list[str]
    tokens: list[Tokens]
    sizes: list[tuple[int, int]]
    """Height and width of the images in pixels."""
    labels: list[str | int | None]
    left_out: list[LeftOut]

    @property
    def num_read(self) -> int:
        """Images that were read, with tokens or without."""
        return len(self.names) + len(self.left_out)

    def followed_by(self, more: Self) -> "Shard":
        """Its images and those of another."""
        return Shard(
            self.names + more.names,
            self.tokens + more.tokens,
            self.sizes + more.sizes,
            self.labels + more.labels,
            self.left_out + more.left_out,
        )


def begin(folder: pathlib.Path, header: Header) -> None:
    """Makes the folder, or finds it begun with the same header.

    Raises:
        InputError: It was begun with another tokenizer or other images, or has other files.
    """
    claim(folder, INDEX, {"kind": _KIND, "version": _VERSION, **header._asdict()})


def shard_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The JSON of a shard."""
    return folder / f"{number:05}.json"


def has_shard(folder: pathlib.Path, number: int) -> bool:
    """Whether a shard is there."""
    return shard_path(folder, number).exists()


def write_shard(folder: pathlib.Path, number: int, header: Header, shard: Shard) -> None:
    """Writes a shard; its JSON last.

    Raises:
        InputError: The disk is full, or the files cannot be written.
    """
    flat = [each.reshape(-1) for each in shard.tokens]
    data = np.concatenate([np.empty(0, header.dtype), *flat]).astype(header.dtype).tobytes()
    path = shard_path(folder, number)
    write_bytes(path.with_suffix(".bin"), data)
    found = {
        "names": shard.names,
        "grids": [each.shape[:2] for each in shard.tokens],
        "sizes": shard.sizes,
        "labels": shard.labels,
        "left_out": shard.left_out,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write_bytes(path, json.dumps(found, separators=(",", ":")).encode())


def damaged(folder: pathlib.Path, number: int, ending: str, expected: str, found: str) -> InputError:
    """The error of a shard's file that is not what was written, with the way to write it again."""
    path = shard_path(folder, number)
    return InputError(
        f"{path.with_suffix(ending)}: expected {expected}, found {found}; remove {path} and run the command again that wrote it."
    )


def read_shard(folder: pathlib.Path, number: int) -> tuple[Contents, str]:
    """The content of a shard's JSON, and its checksum.

    Raises:
        InputError: It is missing or another file.
    """
    path = shard_path(folder, number)
    with reading(path, "names and grids of a shard", "remove it and encode again") as file:
        if (size := os.fstat(file.fileno()).st_size) > _MOST_NAMES:
            raise ValueError(f"{size:,} bytes, of at most {_MOST_NAMES:,}")
        data = file.read()
        return as_contents(json.loads(data)), hashlib.sha256(data).hexdigest()


def finish(folder: pathlib.Path) -> None:
    """Writes all shards into the index: the folder is complete. One that was complete stays as it is.

    Raises:
        InputError: A shard is missing, or is another one than the index of a complete folder names.
    """
    index = read_record(folder / INDEX, remedy=_REMEDY)
    entries = []
    for number in range(index["num_shards"]):
        found, sha256 = read_shard(folder, number)
        entries.append(Entry(len(found.names), len(found.left_out), found.counted, found.sha256, sha256))
    with refusing(str(folder / INDEX), "an index of tokens", "encode into a new folder"):
        known = [as_entry(entry) for entry in index["shards"]] if "shards" in index else entries
        for number, (entry, wanted) in enumerate(zip(entries, known, strict=True)):
            if entry != wanted:
                raise damaged(folder, number, ".json", "what the index names", "another file")
    if "shards" not in index:
        write_record(folder / INDEX, index | {"shards": [entry._asdict() for entry in entries]})


def read_index(folder: pathlib.Path) -> tuple[Header, list[Entry]]:
    """Header and entries of a complete folder.

    Raises:
        InputError: No such folder, one that is not complete, or another version.
    """
    path = folder / INDEX
    if not path.exists():
        raise InputError(
            f"{folder}: expected a folder of tokens, found no {INDEX} in it; pass what `geovq encode` wrote."
        )
    found = read_record(path, remedy=_REMEDY)
    if (found.get("kind"), found.get("version")) != (_KIND, _VERSION):
        raise InputError(f"{path}: expected an index of tokens of this version, found another file; encode again.")
    with refusing(str(path), "an index of tokens", "encode again"):
        header = as_header(found)
        if "shards" not in found:
            there = sum(path.stem.isdigit() for path in folder.glob("*.json"))
            raise InputError(
                f"{folder}: expected all of its {header.num_shards} shards, found {there} and no end; run the command again "
                "that began it."
            )
        entries = [as_entry(entry) for entry in found["shards"]]
        if len(entries) != header.num_shards:
            raise ValueError(f"{header.num_shards} shards expected, {len(entries)} found")
    return header, entries
