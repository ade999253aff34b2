"""What is known of a kind of file: how a good one is written, how it is spoiled, and how it is read."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.faults.spoiling import spoil_arrays, spoil_bytes, spoil_json, spoil_text
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.bits import digest
from geovq.storage.records import read_record

Spoil = Callable[[np.random.Generator, pathlib.Path], bool]
"""Spoils a file and says whether it carries the right checksum of what it now holds."""


class Reader(NamedTuple):
    """A reader of one kind of file."""

    write: Callable[[pathlib.Path], pathlib.Path]
    """Writes a good file into a folder, with what else it needs, and says which it is; of `FOLDERS`, a folder of them."""
    spoil: Spoil
    """Spoils the file as its author could; content that is sealed again may be read as other content."""
    read: Callable[[pathlib.Path], Any]
    sealed: bool = True
    """Whether every change of its bytes has to be noticed: by its own checksum, or by one that we keep of it."""


def by_bytes(spoil: Callable[[np.random.Generator, bytes], bytes]) -> Spoil:
    """Spoils a file by its bytes alone; its checksum stays as it was."""

    def spoiled(rng: np.random.Generator, path: pathlib.Path) -> bool:
        path.write_bytes(spoil(rng, path.read_bytes()))
        return False

    return spoiled


def reseal_arrays(rng: np.random.Generator, path: pathlib.Path) -> bool:
    """Spoils arrays or meta of an archive and computes its checksum again; in one case of five, spoils its bytes."""
    how = int(rng.integers(5))
    if how == 0:
        return by_bytes(spoil_bytes)(rng, path)
    arrays, meta = load_arrays(path)
    if how < 3:
        arrays = spoil_arrays(rng, arrays)
    else:
        changed = spoil_json(rng, meta)
        meta = changed if isinstance(changed, dict) else meta
    save_arrays(path, arrays, meta)
    return True


def reseal_record(rng: np.random.Generator, path: pathlib.Path) -> bool:
    """Spoils the values of a record and computes its checksum again; in one case of five, spoils its text."""
    if rng.integers(5) == 0:
        return by_bytes(spoil_text)(rng, path)
    values = spoil_json(rng, read_record(path))
    path.write_text(json.dumps({**values, "sha256": digest({}, values)}))  # with NaN, which `write_record` refuses
    return True


def in_folder(rng: np.random.Generator, path: pathlib.Path) -> bool:
    """Spoils the bytes of one file of a folder."""
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return by_bytes(spoil_bytes)(rng, files[int(rng.integers(len(files)))])
