"""Rows of results as Markdown tables."""

from collections.abc import Sequence
from typing import Any

from geovq.checks import InputError
from geovq.report import cell

Row = dict[str, Any]


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


def maybe(rows: Sequence[Row], **wanted: object) -> float | None:
    """The value of the row with these fields; None where there is none."""
    found = [row["value"] for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    if len(found) > 1:
        raise InputError(
            f"results: expected one row with {wanted}, found {len(found)}; tell them apart by another field."
        )
    return found[0] if found else None


def one(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields.

    Raises:
        InputError: None, or several.
    """
    found = maybe(rows, **wanted)
    if found is None:
        raise InputError(f"results: expected a row with {wanted}, found none; run the benchmark again.")
    return found
