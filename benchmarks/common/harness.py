"""The harness of benchmarks: results files, cells that a killed benchmark does not compute again, times in turn, Markdown."""

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from benchmarks.common.rows import Row
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.records import read_json, write_results
from geovq.validation import InputError
from train.run.provenance import program_name, provenance

FOLDER = pathlib.Path(__file__).parents[1] / "results"

Cell = tuple[list[Row], dict[str, np.ndarray]]
"""Rows and arrays."""


def no_options(description: str) -> None:
    """For benchmarks without options: answers --help, and refuses anything else."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program_name()}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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


_WEIGHTS = {"entropy": "nat_weight", "perceptual": "lpips_weight"}
"""What rows of older files call a price, by file."""


def read_results(path: pathlib.Path) -> dict[str, Any]:
    """A results file, {"meta", "rows"}; names of an older version become the present ones.

    Raises:
        InputError: A missing or damaged file.
    """
    found = read_json(path)
    for row in found["rows"]:
        if row.get("assign") == "decoded":
            row["assign"] = "greedy"
        if "price" in row:
            row[_WEIGHTS[path.stem]] = row.pop("price")
        for field in {"name", "transformer"} & row.keys():
            row[field] = row[field].replace("decoded", "greedy").replace("-priced", "-entropy")
    return found


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


_Name = TypeVar("_Name", bound=Hashable)


def in_turn(ways: Mapping[_Name, Callable[[], object]], rounds: int) -> dict[_Name, list[float]]:
    """Seconds of every way in every round; all ways have a turn in each, after a first round that does not count.

    Each round begins with another way, since a way is affected by the one that ran before it.
    """
    seconds: dict[_Name, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            ways[name]()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


_RESET_PEAK = pathlib.Path("/proc/self/clear_refs")


def peak_bytes_of(call: Callable[[], Any], before: int | None = None) -> tuple[Any, int | None]:
    """What the call returns, and by how much the memory in use rose at its peak; None where the system is not Linux.

    Args:
        call: Takes nothing.
        before: Bytes from which the rise is counted; None for those in use before the call.
    """
    if not _RESET_PEAK.exists():
        return call(), None
    _RESET_PEAK.write_text("5")
    before = memory_in_use() if before is None else before
    found = call()
    return found, _memory("VmHWM") - before


def memory_in_use() -> int:
    """Bytes of this process; 0 where the system is not Linux."""
    return _memory("VmRSS") if _RESET_PEAK.exists() else 0


def _memory(name: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)
