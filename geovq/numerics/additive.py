"""Additive codes: the latent of a token is the sum of one code out of each of S codebooks, codes (S, K, d).

A single codebook is the case S = 1. In a `residual` composition every codebook quantizes the residual that the ones before
leave (residual vector quantization, Juang & Gray 1982). In a `product` composition every codebook has directions of the latent to
itself and is zero in the others, so that the sum is a concatenation (Jégou, Douze & Schmid 2011).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from geovq.validation import InputError, as_array, check_real, check_squares

MAX_QUANTIZERS = 64
"""Codes of a token at most. Time and memory grow in proportion to them; an array with a longer first axis nearly always has its
axes in another order."""


def as_quantizers(codes: Float[np.ndarray, "..."]) -> Float[np.ndarray, "S K d"]:
    """Codes (K, d) or (S, K, d) as float32 (S, K, d).

    Raises:
        InputError: Another rank, more than `MAX_QUANTIZERS`, no codes, NaN or infinity.
    """
    codes = as_array("codes", codes)
    if codes.ndim not in (2, 3) or codes.size == 0 or (codes.ndim == 3 and len(codes) > MAX_QUANTIZERS):
        raise InputError(
            f"codes: expected shape (K, d), or (S, K, d) with S at most {MAX_QUANTIZERS}, found {codes.shape}; reshape them."
        )
    codes = check_real("codes", codes)
    check_squares("codes", codes)
    return np.asarray(codes if codes.ndim == 3 else codes[None], np.float32)


def additive_codes(groups: Float[np.ndarray, "S K _"] | Sequence[np.ndarray]) -> Float[np.ndarray, "S K d"]:
    """Codes of a product quantizer, or grouped VQ, as additive ones: each quantizer is zero outside its own channels.

    Args:
        groups: One array (K, d_s) for each quantizer, or one array (S, K, d / S). A latent has the channels of the first
            group first, then the channels of the second, and so on.

    Returns:
        float32 (S, K, d), d the sum of all d_s.

    Raises:
        InputError: No group, groups of another rank or with different K, NaN or infinity.
    """
    several = groups if isinstance(groups, list | tuple) else np.atleast_1d(as_array("groups", groups))
    arrays = [as_array("groups", group) for group in several]
    shapes = [array.shape for array in arrays]
    if not arrays or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise InputError(
            f"groups: expected arrays (K, d) with the same K, one for each quantizer, found {shapes}; repeat the last code of a "
            "quantizer that has fewer."
        )
    ends = np.cumsum([0, *(shape[1] for shape in shapes)])
    found = np.zeros((len(arrays), shapes[0][0], ends[-1]), np.float32)
    for s, array in enumerate(arrays):
        found[s, :, ends[s] : ends[s + 1]] = check_real("groups", array)
    return as_quantizers(found)


def sum_codes(codes: Any, tokens: Any) -> Any:
    """Latents of tokens: the sums of the codes that they name.

    Args:
        codes: Codes (S, K, d), of NumPy or JAX.
        tokens: Tokens (..., S) in 0..K-1, of the same library.

    Returns:
        Latents (..., d).
    """
    return sum(codes[s][tokens[..., s]] for s in range(len(codes)))
