"""The table of benchmarks.faults: a line for each class of fault."""

from collections.abc import Sequence

from benchmarks.common.rows import Row, Table, names_of, select
from benchmarks.faults.trials import OUTCOMES

_COUNTED = ("tried", "same bits", "refused in one line", "read as other content", "anything else")
"""Heads of what `_counts` gives."""


def table(rows: Sequence[Row]) -> Table:
    """One line for each class, and one for all."""
    cases = names_of(rows, "case")
    lines = [[case, _kinds(select(rows, case=case)), *_counts(select(rows, case=case))] for case in cases]
    return ["fault", "on", *_COUNTED], [*lines, ["all", None, *_counts(rows)]]


def _kinds(rows: Sequence[Row]) -> str:
    kinds = names_of(rows, "kind")
    return kinds[0] if len(kinds) == 1 else f"{len(kinds)} kinds"


def _counts(rows: Sequence[Row]) -> list[object]:
    return [int(sum(row["value"] for row in select(rows, score=score))) for score in ("tried", *OUTCOMES)]


def kinds(rows: Sequence[Row]) -> Table:
    """One line for each class and what it hit."""
    keys = list(dict.fromkeys((row["case"], row["kind"]) for row in rows))
    return ["fault", "what was hit", *_COUNTED], [
        [*key, *_counts(select(rows, case=key[0], kind=key[1]))] for key in keys
    ]
