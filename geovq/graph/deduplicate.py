"""Exact duplicates merged and counted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from geovq.validation import check_points


class Merged(NamedTuple):
    """Distinct points, in the order in which they first occur.

    Attributes:
        points: Distinct rows (u, d), in the dtype that was given.
        weights: How many input rows each stands for (u,); they sum to n.
        index: Row of `points` that each input row became (n,), so `points[index]` equals the input.
    """

    points: Float[np.ndarray, "u d"]
    weights: Float[np.ndarray, " u"]
    index: Int[np.ndarray, " n"]  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


def group_means(rows: Float[np.ndarray, "n d"], merged: Merged) -> Float[np.ndarray, "u d"]:
    """Mean over the copies of each point, (n, d) -> (u, d); the same array where there are no copies."""
    n, u = len(rows), len(merged.weights)
    if u == n:
        return rows
    sums = csr_array((np.ones(n, rows.dtype), (merged.index, np.arange(n))), shape=(u, n)) @ rows
    return sums / merged.weights[:, None].astype(rows.dtype)


def merge_duplicates(points: Float[np.ndarray, "n d"]) -> Merged:
    """Merges rows that are exactly equal (-0.0 equals 0.0) and counts them.

    Raises:
        InputError: Not a non-empty (n, d) array, NaN or infinity.
    """
    points = check_points("points", points)
    rows = np.ascontiguousarray(points + 0.0)  # turns -0.0 into 0.0: rows are compared by their bytes
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, inverse, counts = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Merged(points[first[order]], counts[order].astype(np.float64), rank[inverse])
