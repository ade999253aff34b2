"""Several codes for a token: its latent is the sum of one code out of each of S codebooks (S, K, d).

A single codebook is the case S = 1. In `residual` codebooks every quantizer refines what the ones before it leave over (residual
vector quantization, Juang & Gray 1982). In `product` codebooks every quantizer has directions of the latent to itself (Jégou,
Douze & Schmid 2011): its codes are zero in the others, so that the sum is a concatenation.
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
            f"codes: expected shape (K, d), or (S, K, d) with at most {MAX_QUANTIZERS} codes a token, found {codes.shape}; "
            "reshape them."
        )
    check_finite("codes", codes)
    return np.asarray(codes if codes.ndim == 3 else codes[None], np.float32)


def sum_codes(codes: Any, tokens: Any) -> Any:
    """Latents of tokens: the sums of the codes that they name.

    Args:
        codes: (S, K, d), of NumPy or JAX.
        tokens: Of the same library, (..., S) in 0..K-1.

    Returns:
        Latents (..., d).
    """
    return sum(codes[s][tokens[..., s]] for s in range(len(codes)))
