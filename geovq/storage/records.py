"""Small JSON files with a checksum in them."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from geovq.storage.bits import digest
from geovq.storage.files import reading, write_bytes
from geovq.validation import InputError

MOST_JSON = 1 << 26
"""Bytes of a JSON file at most, 64 MiB; what it says takes some ten times as many."""

_SHA256 = "sha256"

_REMEDY = "restore it from a copy, or remove it and run the step that writes it"


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON by `write_bytes`; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_record(path: str | os.PathLike, values: Mapping[str, Any]) -> None:
    """Writes a JSON object with the checksum that `read_record` compares."""
    write_json(path, seal(values))


def write_results(path: str | os.PathLike, meta: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes {"meta": ..., "rows": [...]}, a row to a line, with the checksum that `read_record` compares."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    head, sha = json.dumps(meta, indent=2, allow_nan=False), digest({}, {"meta": meta, "rows": rows})
    write_bytes(path, f'{{"meta": {head},\n"rows": [\n{lines}\n],\n"{_SHA256}": "{sha}"}}\n'.encode())


def read_json(path: str | os.PathLike, *, remedy: str = _REMEDY) -> Any:
    """Reads a JSON file of at most `MOST_JSON` bytes; the remedy is what to do where it is damaged.

    Raises:
        InputError: The file is missing, larger, or not JSON.
    """
    with reading(path, "a JSON file", remedy) as file:
        if (size := os.fstat(file.fileno()).st_size) > MOST_JSON:
            raise ValueError(f"{size:,} bytes, of at most {MOST_JSON:,}")
        return json.loads(file.read())


def read_record(path: str | os.PathLike, *, remedy: str = _REMEDY) -> dict[str, Any]:
    """Reads what `write_record` or `write_results` wrote, without the checksum; the remedy as for `read_json`.

    Raises:
        InputError: As `read_json`; something else than an object; no checksum, or that of other content.
    """
    values = read_json(path, remedy=remedy)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}; {remedy}.")
    if not unseal(values):
        raise InputError(f"{path}: expected content of its sha256, found that it was changed; {remedy}.")
    return values


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with their checksum."""
    return {**values, _SHA256: digest({}, values)}


def unseal(values: dict[str, Any]) -> bool:
    """Takes the checksum out of an object, and says whether it is that of the rest."""
    return values.pop(_SHA256, None) == digest({}, values)
