"""Rows of results: one number each, with the fields that say what was measured."""

from typing import Any

import numpy as np

from geovq.scores.intervals import bootstrap_interval

Row = dict[str, Any]


def row(fields: Row, score: str, values: np.ndarray | float, n: int | None = None) -> Row:
    """One row of the results.

    Args:
        fields: What identifies the case.
        score: What was measured.
        values: One value per image, whose mean is reported with its 95% bootstrap interval; or one number.
        n: Images or tokens that the number was measured on, where it is one.
    """
    if isinstance(values, np.ndarray):
        mean, low, high = bootstrap_interval(values.astype(np.float64) if values.dtype == bool else values)
        return {**fields, "score": score, "value": mean, "low": low, "high": high, "n": len(values)}
    return {**fields, "score": score, "value": float(values), "low": None, "high": None, "n": n}
