"""Rows of results: one number each, with the fields that say what it is of."""

from collections.abc import Sequence
from typing import Any

from geovq.validation import InputError

Row = dict[str, Any]


def number_row(fields: Row, score: str, value: float, n: int | None = None) -> Row:
    """A row of a number without an interval; n: what it was measured on."""
    return {**fields, "score": score, "value": float(value), "low": None, "high": None, "n": n}


def select(rows: Sequence[Row], **wanted: object) -> list[Row]:
    """The rows with these fields; None for a field that is missing."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def row_of(rows: Sequence[Row], **wanted: object) -> Row:
    """The row with these fields.

    Raises:
        InputError: None, or several.
    """
    found = select(rows, **wanted)
    if len(found) != 1:
        raise InputError(f"results: expected one row with {wanted}, found {len(found)}; run the benchmark again.")
    return found[0]


def value_of(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields; errors as `row_of`."""
    return row_of(rows, **wanted)["value"]


def maybe(rows: Sequence[Row], **wanted: object) -> float | None:
    """The same, or None where there is no such row.

    Raises:
        InputError: Several.
    """
    return value_of(rows, **wanted) if select(rows, **wanted) else None
