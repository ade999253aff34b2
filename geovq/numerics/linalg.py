"""Matrix roots and quadratic forms."""

from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Float

Rows = TypeVar("Rows", np.ndarray, jax.Array)


def eigen_root(metric: Float[np.ndarray, "d d"], *, power: float = 0.5, floor: float = 0.0) -> Float[np.ndarray, "d d"]:
    """Symmetric power of a positive semi-definite matrix, by its eigenvalues in float64.

    Args:
        metric: Symmetric matrix (d, d).
        power: 0.5 gives the root R with RR = metric, -0.5 its inverse.
        floor: Eigenvalues below this fraction of the largest count as that fraction; a negative power needs one above 0. With a
            floor above 0 the zero matrix counts as the identity.

    Returns:
        The power in the dtype of `metric`. Rounding below zero counts as zero.
    """
    values, vectors = np.linalg.eigh(metric.astype(np.float64))
    if floor > 0 and values[-1] <= 0:
        values = np.ones_like(values)
    return ((vectors * np.maximum(values, floor * max(values[-1], 0)) ** power) @ vectors.T).astype(metric.dtype)


def quadratic_form(moves: Rows, metrics: Rows) -> Rows:
    """ΔᵀGΔ of moves, each with its own metric, in full precision of their dtype.

    Args:
        moves: Steps Δ (..., d), of NumPy or JAX.
        metrics: Metrics G (..., d, d), of the same library.

    Returns:
        (...), in intensity² for metrics in intensity² per latent². Rounding may leave it just below zero.
    """
    with jax.default_matmul_precision("highest"):  # accelerators would round the factors to ten bits or so
        return ((metrics @ moves[..., None])[..., 0] * moves).sum(axis=-1)
