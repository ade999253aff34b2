"""Rows of results as Markdown tables."""

from collections.abc import Sequence

from geovq.validation import InputError
from train.evaluation.report import cell


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    if not rows:
        raise InputError(
            f"results: expected rows for the columns {', '.join(columns)}, found none; run the benchmark again."
        )
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def captioned(parts: dict[str, str]) -> str:
    """Tables below each other, each under its caption."""
    return "\n\n".join(f"**{caption}**\n\n{table}" for caption, table in parts.items())
