"""Where benchmarks put their results."""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.rows import Row
from geovq.checks import InputError
from geovq.store import read_json, write_json
from train.provenance import provenance

FOLDER = pathlib.Path(__file__).parent / "results"


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()


def check_adds_up(path: pathlib.Path, **made_with: str) -> None:
    """Refuses to go on to what a results file that was made otherwise would be lost by.

    Args:
        path: Of the results file, where there is one.
        **made_with: Entries of its `meta`, such as schedule, as they will be.

    Raises:
        InputError: With both values of an entry.
    """
    meta: Any = read_json(path)["meta"] if path.exists() else made_with
    for name, value in made_with.items():
        if meta.get(name) != value:
            raise InputError(
                f"{path}: expected results of the {name} {value!r}, found {meta.get(name)!r}; give another folder, "
                "--output FOLDER, or move the file away."
            )


def merged(path: pathlib.Path, rows: Sequence[Row], field: str, order: Sequence[str]) -> list[Row]:
    """These rows, and those of a results file of systems and seeds that were not measured now: parts add up to a whole.

    Args:
        path: Of the results file, where there is one, that `check_adds_up`.
        rows: Those of this run; some have a system, a case and a seed.
        field: Of a row, for the system's name.
        order: Names of all systems that there are now.

    Returns:
        Rows without a system first, then system by system.
    """
    places = {name: place for place, name in enumerate(order)}
    measured = {_part(r, field) for r in rows}
    found: Any = read_json(path)["rows"] if path.exists() else []
    seeded = [r for r in found if "seed" in r and (field not in r or r[field] in places)]
    both = [*rows, *(r for r in seeded if _part(r, field) not in measured)]
    return sorted(both, key=lambda r: places[r[field]] if field in r else -1)


def _part(row: Row, field: str) -> tuple[object, ...]:
    """What rows are measured together with."""
    return row.get(field), row["case"], row.get("system"), row.get("seed")


def save(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    seeds: Mapping[str, int] | Sequence[int],
    schedule: str,
    folder: pathlib.Path = FOLDER,
    **made_with: str,
) -> None:
    """Writes benchmarks/results/NAME.json, and prints the same object as the last line.

    Args:
        name: Of the file.
        rows: One number each, with the fields that say what it is of.
        seeds: Every seed that they depend on.
        schedule: How long it ran, in a word.
        folder: Where it goes.
        **made_with: More that they depend on.
    """
    found = {"meta": provenance(seeds, schedule) | made_with, "rows": list(rows)}
    write_json(folder / f"{name}.json", found)
    print(json.dumps(found), flush=True)
