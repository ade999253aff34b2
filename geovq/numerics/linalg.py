"""Matrix roots and quadratic forms."""

import numpy as np
from jaxtyping import Float


def square_root(metric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Symmetric square root of a positive semi-definite matrix, float32; rounding below zero counts as zero."""
    values, vectors = np.linalg.eigh(metric.astype(np.float64))
    return ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)
