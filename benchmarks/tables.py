"""Puts the tables of the results files into the README, between their markers.

    python -m benchmarks.tables

Every number of the README's tables comes from benchmarks/results/*.json by this command; a test holds them together.
"""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.record import FOLDER, no_options
from geovq.checks import InputError
from geovq.report import cell
from geovq.store import read_json, write_bytes
from train.cli import run_program
from train.presentation import tables

Row = dict[str, Any]

README = pathlib.Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"<!-- (\w+): begin -->\n.*?<!-- \1: end -->", re.DOTALL)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pipeline(rows: list[Row]) -> str:
    """The tables of a pipeline."""
    seconds: list[list[object]] = [[row["case"], row["value"]] for row in rows if row["score"] == "seconds"]
    seconds.append(["all", sum(row["value"] for row in rows if row["score"] == "seconds")])
    return "\n\n".join(
        f"**{caption}**\n\n{markdown(columns, cells)}"
        for caption, (columns, cells) in {**tables(rows), "Time": (["stage", "seconds"], seconds)}.items()
    )


def rate(rows: list[Row]) -> str:
    """One line for each noise variance."""
    columns = ["β", "KL bits of a token", "their std", "VAE", "posterior sample", "`euclidean`", "`whitened`"]
    variances = dict.fromkeys(row["noise_variance"] for row in rows)
    cells = [[beta, *(row["value"] for row in rows if row["noise_variance"] == beta)] for beta in variances]
    return markdown(columns, cells)


def metric(rows: list[Row]) -> str:
    """One line for each way to compute a metric."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["peer"], {})[row["score"]] = row["value"]
    cells = [[peer, 1e3 * scores["seconds"], scores["ratio"]] for peer, scores in found.items()]
    return markdown(["way", "ms a token", "times ours"], cells)


def resume(rows: list[Row]) -> str:
    """One line for each output."""
    return markdown(["output", "same bits"], [[row["output"], "yes" if row["value"] else "no"] for row in rows])


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "pipeline_demo": pipeline,
    "pipeline_quick": pipeline,
    "rate": rate,
    "metric": metric,
    "resume": resume,
}


def table(name: str) -> str:
    """The table of a results file, and how it came about."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        raise InputError(f"{path}: expected a results file, found none; the README says which benchmark writes it.")
    found = read_json(path)
    meta = found["meta"]
    source = f"`benchmarks/results/{name}.json`, by `{meta['command']}`, {meta['machine']}, {meta['date']}, one seed."
    return f"{TABLES[name](found['rows'])}\n\n{source}"


def rendered(text: str) -> str:
    """The README with its tables as the results files have them."""
    return _BLOCK.sub(lambda found: f"<!-- {found[1]}: begin -->\n{table(found[1])}\n<!-- {found[1]}: end -->", text)


def main() -> None:
    """Rewrites the README."""
    no_options(__doc__)
    write_bytes(README, rendered(README.read_text()).encode())


if __name__ == "__main__":
    run_program(main)
