"""Measured statistics as arrays and numbers by name, for files, and back."""

import typing
from typing import Any, TypeVar

import numpy as np
import scipy.sparse

from geovq.geometry.measured import Geometry, Means, MeasuredTokens, Statistics
from geovq.graph.csr import check_graph
from geovq.validation import InputError

_GRAPHS = ("straight", "geodesic")
_PARTS = ("data", "indices", "indptr")

_Record = TypeVar("_Record", bound=tuple)


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
        InputError: Other names, shapes or dtypes, or no graph.
    """
    fields: dict[str, Any] = arrays | numbers
    for name in _GRAPHS:
        if f"{name}.data" in fields:
            parts = tuple(fields.pop(f"{name}.{part}") for part in _PARTS)
            graph = scipy.sparse.csr_array(parts, shape=(len(fields["nodes"]),) * 2)
            graph.check_format(full_check=True)  # compiled searches of the graph read where its indices point
            check_graph(graph)
            fields[name] = graph
    for kind in (Means, MeasuredTokens, Geometry):
        if set(kind._fields) == set(fields):
            return check_fields(kind(**fields))
    raise InputError(f"expected {', '.join(Geometry._fields)}, found {', '.join(sorted(fields))}")


def check_fields(record: _Record) -> _Record:
    """Checks that the fields of a named tuple are what its annotations say; a letter is one size in all of them.

    Args:
        record: Of arrays annotated with their axes, of sparse arrays and of numbers, as it came out of a file.

    Raises:
        InputError: Names the field.
    """
    sizes: dict[str, int] = {}
    for name, hint in typing.get_type_hints(type(record)).items():
        value = getattr(record, name)
        wanted = next(iter(typing.get_args(hint)), hint)  # of NumPy's arrays and JAX's, the first
        axes = getattr(wanted, "dim_str", "").split()
        if not axes:
            fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        else:
            fits = isinstance(value, np.ndarray) and value.ndim == len(axes) and value.dtype.name in wanted.dtypes
            fits = fits and all(sizes.setdefault(axis, n) == n for axis, n in zip(axes, value.shape, strict=True))
        if not fits:
            found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)[:50]
            expected = f"{'x'.join(axes)} {wanted.dtypes[0][:-2]}" if axes else wanted.__name__
            raise InputError(
                f"{type(record).__name__}.{name}: expected {expected}, found {found}; make the file again."
            )
    return record
