"""Where benchmarks put their results."""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from geovq.store import write_results
from train.provenance import provenance

FOLDER = pathlib.Path(__file__).parent / "results"


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()


def file_name(benchmark: str, schedule: str, whole: bool = True) -> str:
    """The name of a benchmark's results file that leaves those of other extents as they are.

    Args:
        benchmark: Its name, which is the file's for all of the reduced schedule.
        schedule: reduced, full or smoke; the file of full ends in _full, that of smoke in _part.
        whole: Whether all of the schedule was measured; if not, the file ends in _part.
    """
    ending = "_full" if schedule == "full" else ""
    return f"{benchmark}_part" if schedule == "smoke" or not whole else f"{benchmark}{ending}"


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
