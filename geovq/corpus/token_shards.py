"""Tokens on disk: a folder of shards of memory-mappable integers, with names, grids, labels and checksums.

    tokens/
        index.json       which tokenizer and images they are of; once all are there, every shard with its checksums
        00000.bin        tokens of a shard, grid after grid, row after row, little-endian, of the smallest width that holds K
        00000.json       names, grids, sizes and labels of its images, what was left out, and the checksum of 00000.bin

A shard is there when its JSON is, which is written last; every file is whole or absent. So several processes can fill a folder,
and a killed one goes on with the shards that are missing.
"""

import collections
import hashlib
import json
import pathlib
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Integer

from geovq.corpus.claims import claim
from geovq.storage import read_json, write_bytes, write_json
from geovq.validation import InputError, check_whole

INDEX = "index.json"

_KIND, _VERSION = "geovq.tokens", 1

Tokens = Integer[np.ndarray, "h w"] | Integer[np.ndarray, "h w S"]
"""Of an image; with the axis S where a token has several codes."""


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


class Entry(NamedTuple):
    """What the index says of a shard."""

    images: int
    left_out: int
    grids: list[tuple[int, int, int]]
    """Height and width of every grid that occurs, and how often."""
    sha256: str
    """Of its tokens."""
    sha256_of_names: str
    """Of its JSON."""


def smallest_dtype(count: int) -> np.dtype:
    """The smallest unsigned integers, little-endian, that hold 0..count-1."""
    check_whole("count", count)
    return np.min_scalar_type(count - 1).newbyteorder("<")


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


def read_shard(folder: pathlib.Path, number: int) -> tuple[dict[str, Any], str]:
    """The content of a shard's JSON, and its checksum.

    Raises:
        InputError: It is missing or another file.
    """
    path = shard_path(folder, number)
    found = read_json(path)
    if not isinstance(found, dict) or found.keys() != {"names", "grids", "sizes", "labels", "left_out", "sha256"}:
        raise InputError(
            f"{path}: expected names and grids of a shard, found another file; remove it and encode again."
        )
    return found, hashlib.sha256(path.read_bytes()).hexdigest()


def finish(folder: pathlib.Path) -> None:
    """Writes all shards into the index: the folder is complete.

    Raises:
        InputError: A shard is missing.
    """
    index = read_json(folder / INDEX)
    entries = []
    for number in range(index["num_shards"]):
        found, sha256 = read_shard(folder, number)
        grids = collections.Counter(map(tuple, found["grids"]))
        counts = [(*grid, count) for grid, count in sorted(grids.items())]
        entries.append(Entry(len(found["names"]), len(found["left_out"]), counts, found["sha256"], sha256)._asdict())
    write_json(folder / INDEX, index | {"shards": entries})


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
    found = read_json(path)
    wanted = {"kind", "version", *Header._fields}
    if (
        not isinstance(found, dict)
        or not wanted <= found.keys()
        or (found["kind"], found["version"]) != (_KIND, _VERSION)
    ):
        raise InputError(f"{path}: expected an index of tokens of this version, found another file; encode again.")
    header = Header(*(found[name] for name in Header._fields))
    if "shards" not in found:
        there = sum(has_shard(folder, number) for number in range(header.num_shards))
        raise InputError(
            f"{folder}: expected all of its {header.num_shards} shards, found {there} and no end; run the command again that "
            "began it."
        )
    return header, [Entry(**entry) for entry in found["shards"]]
