"""Puts the tables of the results files into the README, between their markers.

    python -m benchmarks.tables

Every number of the README's tables comes from benchmarks/results/*.json by this command; a test holds them together.
"""

import pathlib
import re
from collections.abc import Sequence

from benchmarks.record import FOLDER
from geovq.report import cell
from geovq.store import read_json, write_bytes
from train.presentation import tables

README = pathlib.Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"<!-- (\w+): begin -->\n.*?<!-- \1: end -->", re.DOTALL)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pipeline(name: str) -> str:
    """The tables of a pipeline's results file, and how they came about."""
    found = read_json(FOLDER / f"{name}.json")
    meta, rows = found["meta"], found["rows"]
    seconds = [[row["case"], row["value"]] for row in rows if row["score"] == "seconds"]
    seconds.append(["all", sum(value for _, value in seconds)])
    parts = [
        f"**{caption}**\n\n{markdown(columns, cells)}"
        for caption, (columns, cells) in {**tables(rows), "Time": (["stage", "seconds"], seconds)}.items()
    ]
    source = f"`benchmarks/results/{name}.json`, by `{meta['command']}`, {meta['machine']}, {meta['date']}, one seed."
    return "\n\n".join([*parts, source])


def rendered(text: str) -> str:
    """The README with its tables as the results files have them."""
    return _BLOCK.sub(lambda found: f"<!-- {found[1]}: begin -->\n{pipeline(found[1])}\n<!-- {found[1]}: end -->", text)


def main() -> None:
    """Rewrites the README."""
    write_bytes(README, rendered(README.read_text()).encode())


if __name__ == "__main__":
    main()
