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


def merged(path: pathlib.Path, rows: Sequence[Row], schedule: str, field: str, order: Sequence[str]) -> list[Row]:
    """These rows, and those of a results file of systems and seeds that were not measured now: parts add up to a whole.

    Args:
        path: Of the results file, where there is one.
        rows: Those of this run; some have a system, a case and a seed.
        schedule: Of this run; rows that were made on another are left out.
        field: Of a row, for the system's name.
        order: Names of all systems that there are now.

    Returns:
        Rows without a system first, then system by system.
    """
    places = {name: place for place, name in enumerate(order)}
    measured = {(r[field], r["case"], r["seed"]) for r in rows if field in r}
    found: Any = read_json(path) if path.exists() else {"meta": {"schedule": schedule}, "rows": []}
    named = [r for r in found["rows"] if r.get(field) in places]
    older = [r for r in named if (r[field], r["case"], r["seed"]) not in measured]
    both = [*rows, *(older if found["meta"]["schedule"] == schedule else [])]
    return sorted(both, key=lambda r: places[r[field]] if field in r else -1)


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
