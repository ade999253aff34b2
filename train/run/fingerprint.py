"""Fingerprints of what stages write: of the content that later stages read, not of dates or the layout on the disk."""

import pathlib

import numpy as np

from geovq.storage.arrays import stored_digest
from geovq.storage.bits import digest
from geovq.storage.records import read_record
from geovq.validation import InputError


def fingerprint(place: pathlib.Path) -> str:
    """SHA-256 of an output.

    Args:
        place: A file of arrays (.npz), a folder of checkpoints, of which the best parameters count, a results file (.json), of
            which the rows count, or any other file, of which every byte counts.

    Raises:
        InputError: It is missing or damaged.
    """
    if not place.exists():
        raise InputError(f"{place}: expected a stage's output, found none; run the stage again.")
    if place.suffix == ".npz":
        return stored_digest(place)
    if place.name == "checkpoints":
        return _best_parameters(place)
    if place.suffix == ".json":
        return digest({}, {"rows": read_record(place)["rows"]})
    return digest({"bytes": np.frombuffer(place.read_bytes(), np.uint8)})


def intact(place: pathlib.Path, sha256: str) -> bool:
    """Whether an output is there and is what was recorded."""
    try:
        return fingerprint(place) == sha256
    except (InputError, OSError, KeyError, TypeError):
        return False


def _best_parameters(folder: pathlib.Path) -> str:
    from train.run.checkpoint import Checkpoints, tree_digest

    with Checkpoints(folder) as checkpoints:
        found = checkpoints.restore_part("best")
    if found is None:
        raise InputError(f"{folder}: expected a checkpoint, found none; run the stage again.")
    return tree_digest(found)
