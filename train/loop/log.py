"""The log of a training: metrics.jsonl, a line for every epoch, each with its checksum."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from geovq.storage.files import reading, turn, write_bytes
from geovq.storage.records import seal, unseal
from geovq.validation import InputError


def append(log: pathlib.Path, row: Mapping[str, float]) -> None:
    """Adds a row.

    Raises:
        InputError: Scores that are not finite.
    """
    if not all(math.isfinite(value) for value in row.values()):
        raise InputError(
            f"{log}: expected finite scores, found {dict(row)}; choose a lower learning rate and another --run."
        )
    with turn() as mine:
        if mine:
            with open(log, "a") as file:
                file.write(json.dumps(seal(row)) + "\n")


def truncate(log: pathlib.Path, step: int) -> None:
    """Removes the lines of steps after the checkpoint, and lines that were cut off or changed, which is said."""
    if not log.exists():
        return
    with reading(log, "the log of a training", "move it away") as file:
        lines = file.readlines()
    kept = []
    for number, line in enumerate(lines, 1):
        row = _sound_row(line)
        if row is None and number < len(lines):
            print(f"{log}: line {number} is damaged and left out", flush=True)
        if row is not None and row["step"] <= step:
            kept.append(line.rstrip() + b"\n")  # which a kill may have cut off
    write_bytes(log, b"".join(kept))


def _sound_row(line: bytes) -> dict[str, Any] | None:
    """A line of the log, or None where it was cut off or changed."""
    try:
        row = dict(json.loads(line))
        return row if unseal(row) and isinstance(row["step"], int) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
