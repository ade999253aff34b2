"""Where benchmarks put their results."""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from geovq.storage import write_results
from train.run.provenance import program_name, provenance

FOLDER = pathlib.Path(__file__).parents[1] / "results"


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program_name()}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()


def file_name(benchmark: str, schedule: str, whole: bool = True) -> str:
    """The name of a benchmark's results file: all of a schedule is written over by nothing else.

    Args:
        benchmark: Its name, which is that of the file of all of the reduced schedule.
        schedule: Its name, in which the file of all of another one ends.
        whole: Whether all of the schedule was measured. Parts of any, and all of smoke, share a file that ends in _part.
    """
    if schedule == "smoke" or not whole:
        return f"{benchmark}_part"
    return benchmark if schedule == "reduced" else f"{benchmark}_{schedule}"


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
    meta, rows = provenance(seeds, schedule) | made_with, list(rows)
    write_results(folder / f"{name}.json", meta, rows)
    print(json.dumps({"meta": meta, "rows": rows}), flush=True)
