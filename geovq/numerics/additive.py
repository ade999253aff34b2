"""Additive codes: the latent of a token is the sum of one code out of each of S codebooks, codes (S, K, d).

A single codebook is the case S = 1. In a `residual` composition every codebook quantizes the residual that the ones before
leave (residual vector quantization, Juang & Gray 1982). In a `product` composition every codebook has directions of the latent to
itself and is zero in the others, so that the sum is a concatenation (Jégou, Douze & Schmid 2011).
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from geovq.validation import InputError, check_finite

MAX_QUANTIZERS = 4


def as_quantizers(codes: Float[np.ndarray, "..."]) -> Float[np.ndarray, "S K d"]:
    """Codes (K, d) or (S, K, d) as float32 (S, K, d).

    Raises:
        InputError: Another rank, more than `MAX_QUANTIZERS`, no codes, NaN or infinity.
    """
    codes = np.asarray(codes)
    if codes.ndim not in (2, 3) or codes.size == 0 or (codes.ndim == 3 and len(codes) > MAX_QUANTIZERS):
        raise InputError(
            f"codes: expected shape (K, d), or (S, K, d) with S at most {MAX_QUANTIZERS}, found {codes.shape}; reshape them."
        )
    check_finite("codes", codes)
    return np.asarray(codes if codes.ndim == 3 else codes[None], np.float32)


def sum_codes(codes: Any, tokens: Any) -> Any:
    """Latents of tokens: the sums of the codes that they name.

    Args:
        codes: Codes (S, K, d), of NumPy or JAX.
        tokens: Tokens (..., S) in 0..K-1, of the same library.

    Returns:
        Latents (..., d).
    """
    return sum(codes[s][tokens[..., s]] for s in range(len(codes)))
