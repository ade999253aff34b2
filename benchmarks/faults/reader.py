"""What is known of a kind of file: how a good one is written, how it is spoiled, and how it is read."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.faults.spoiling import spoil_bytes

Spoil = Callable[[np.random.Generator, pathlib.Path], None]


class Reader(NamedTuple):
    """A reader of one kind of file."""

    write: Callable[[pathlib.Path], pathlib.Path]
    """Writes a good file into a folder, with what else it needs, and says which it is; of `FOLDERS`, a folder of them."""
    spoil: Spoil
    """Spoils the file as a stranger could: what carries a checksum gets the right one."""
    read: Callable[[pathlib.Path], Any]
    sealed: bool = True
    """Whether every change of its bytes has to be noticed: by its own checksum, or by one that we keep of it."""


def by_bytes(spoil: Callable[[np.random.Generator, bytes], bytes]) -> Spoil:
    """A file that is spoiled by its bytes alone."""

    def spoiled(rng: np.random.Generator, path: pathlib.Path) -> None:
        path.write_bytes(spoil(rng, path.read_bytes()))

    return spoiled


def in_folder(rng: np.random.Generator, path: pathlib.Path) -> None:
    """Spoils one file of a folder."""
    files = sorted(each for each in path.rglob("*") if each.is_file())
    by_bytes(spoil_bytes)(rng, files[int(rng.integers(len(files)))])
