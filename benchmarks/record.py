"""Where benchmarks put their results."""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.rows import Row
from geovq.store import read_json, write_json
from train.provenance import provenance

FOLDER = pathlib.Path(__file__).parent / "results"


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()


def carried(path: pathlib.Path, rows: Sequence[Row], schedule: str, field: str) -> list[Row]:
    """Rows of systems and seeds that a results file has and this run has not measured, so that parts add up to a whole.

    Args:
        path: Of the results file.
        rows: Those of this run, some with a system and a seed.
        schedule: Of this run; rows that were made on another are of no use beside them.
        field: Of a row, for the system's name.

    Returns:
        The older rows; none where there is no such file.
    """
    if not path.exists():
        return []
    found = read_json(path)
    measured = {(r[field], r["case"], r["seed"]) for r in rows if field in r}
    return [
        r
        for r in found["rows"]
        if found["meta"]["schedule"] == schedule and field in r and (r[field], r["case"], r["seed"]) not in measured
    ]


def save(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    seeds: Mapping[str, int] | Sequence[int],
    schedule: str,
    folder: pathlib.Path = FOLDER,
) -> None:
    """Writes benchmarks/results/NAME.json, and prints the same object as the last line.

    Args:
        name: Of the file.
        rows: One number each, with the fields that say what it is of.
        seeds: Every seed that they depend on.
        schedule: How long it ran, in a word.
        folder: Where it goes.
    """
    found = {"meta": provenance(seeds, schedule), "rows": list(rows)}
    write_json(folder / f"{name}.json", found)
    print(json.dumps(found), flush=True)
