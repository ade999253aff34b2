"""Measured statistics as arrays and numbers by name, for files, and back."""

from typing import Any

import numpy as np
import scipy.sparse

from geovq.geometry.measured import Geometry, Means, MeasuredTokens, Statistics
from geovq.validation import InputError

_GRAPHS = ("straight", "geodesic")
_PARTS = ("data", "indices", "indptr")


def to_arrays(statistics: Statistics) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Arrays, three for each graph, and numbers that JSON can hold."""
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, float] = {}
    for name, value in statistics._asdict().items():
        if scipy.sparse.issparse(value):
            arrays |= {f"{name}.{part}": getattr(value, part) for part in _PARTS}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            numbers[name] = value
    return arrays, numbers


def from_arrays(arrays: dict[str, np.ndarray], numbers: dict[str, float]) -> Statistics:
    """What `to_arrays` took apart.

    Raises:
        InputError: Other names.
    """
    fields: dict[str, Any] = arrays | numbers
    for name in _GRAPHS:
        if f"{name}.data" in fields:
            parts = tuple(fields.pop(f"{name}.{part}") for part in _PARTS)
            fields[name] = scipy.sparse.csr_array(parts, shape=(len(fields["nodes"]),) * 2)
    for kind in (Means, MeasuredTokens, Geometry):
        if set(kind._fields) == set(fields):
            return kind(**fields)
    raise InputError(f"expected {', '.join(Geometry._fields)}, found {', '.join(sorted(fields))}")
