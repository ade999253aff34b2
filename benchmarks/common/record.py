"""What benchmarks keep and show: results files, cells that a killed benchmark does not compute again, Markdown tables."""

import argparse
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.common.rows import Row
from geovq.storage import load_arrays, save_arrays, write_results
from geovq.validation import InputError
from train.run.provenance import provenance

FOLDER = pathlib.Path(__file__).parents[1] / "results"

Cell = tuple[list[Row], dict[str, np.ndarray]]
"""Rows and arrays."""


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()


def file_name(benchmark: str, size: str, whole: bool = True) -> str:
    """The name of a benchmark's results file, which only a measurement of the same size replaces.

    Args:
        benchmark: Its name; the file of the complete reduced size has the same.
        size: reduced, full or smoke; the name of any other complete size is appended.
        whole: Whether everything was measured. Parts of any size, and all of smoke, share a file that ends in _part.
    """
    if size == "smoke" or not whole:
        return f"{benchmark}_part"
    return benchmark if size == "reduced" else f"{benchmark}_{size}"


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
        rows: One number each, with the fields that identify it.
        seeds: Every seed that the rows depend on.
        schedule: How long it ran, in a word.
        folder: Where the file goes.
        **made_with: Other inputs that the rows depend on.
    """
    meta, rows = provenance(seeds, schedule) | made_with, list(rows)
    write_results(folder / f"{name}.json", meta, rows)
    print(json.dumps({"meta": meta, "rows": rows}), flush=True)


def kept(path: pathlib.Path, made_from: Mapping[str, Any], compute: Callable[[], Cell]) -> Cell:
    """Rows and arrays from a file; computed where the file is missing, damaged, or made from other inputs.

    Args:
        path: An .npz file.
        made_from: Fingerprints and options that the cell depends on, JSON-serialisable.
        compute: Returns the cell.
    """
    if path.exists():
        try:
            arrays, meta = load_arrays(path)
        except InputError as error:
            print(f"{error} It is computed again.", flush=True)
        else:
            if meta.get("made_from") == made_from:
                return meta["rows"], arrays
    rows, arrays = compute()
    save_arrays(path, arrays, {"made_from": dict(made_from), "rows": rows})
    return rows, arrays


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats have four significant digits, None is a dash."""
    if not rows:
        raise InputError(
            f"results: expected rows for the columns {', '.join(columns)}, found none; run the benchmark again."
        )
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def captioned(parts: Mapping[str, str]) -> str:
    """Markdown tables below each other, each under its caption."""
    return "\n\n".join(f"**{caption}**\n\n{table}" for caption, table in parts.items())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
