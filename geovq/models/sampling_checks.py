"""What `sample` refuses, and its guidance and prefix as the compiled part takes them."""

import numpy as np
from jaxtyping import Float, Int

from geovq.models.config import GPTConfig
from geovq.models.gpt_checks import check_conditioning
from geovq.validation import InputError, check_tokens, check_whole

ROWS = 1 << 32
"""Numbers that a key can be folded with."""


def check_request(model, n, labels, temperature, top_k, top_p, offset, chunk) -> None:
    """Refuses what `sample` cannot draw."""
    codes = model.config.num_codes
    for name, value, least in (("n", n, 1), ("offset", offset, 0), ("top_k", top_k, 0)):
        check_whole(name, value, least)
    if chunk is not None:
        check_whole("chunk", chunk)
    if offset + n > ROWS:
        raise InputError(
            f"offset: expected offset + n of at most {ROWS:,}, found {offset + n:,}; take another key for more rows."
        )
    if np.ndim(temperature) or not 0 <= temperature < float("inf"):
        raise InputError(f"temperature: expected a finite number of at least 0, found {temperature}; 0 is greedy.")
    if top_k > codes:
        raise InputError(f"top_k: expected 0..{codes}, found {top_k}; 0 keeps all {codes} codes.")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p: expected a number in (0, 1], found {top_p}; 1 keeps all codes.")
    check_conditioning(model.config, labels is not None)
    if labels is not None and np.shape(labels) != (n,):
        raise InputError(
            f"labels: expected shape ({n},), found {np.shape(labels)}; pass one for each sequence that is wanted."
        )


def guidance_weights(config: GPTConfig, guidance: float | np.ndarray) -> Float[np.ndarray, " t"]:
    """Guidance of each token.

    Raises:
        InputError: Another shape, a weight that is not finite and at least 0, or a model that knows nothing without a class.
    """
    weights = np.asarray(guidance, np.float32)
    if weights.shape not in ((), (config.length,)) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(
            f"guidance: expected a finite number of at least 0, or one for each of {config.length} tokens, found {guidance}; "
            "pass one of the two."
        )
    if (weights != 1).any() and not config.class_dropout:
        raise InputError(
            f"guidance: expected 1 for a model that was trained without class_dropout, found {guidance}; train one with it."
        )
    return np.broadcast_to(weights, config.length)


def prefix_tokens(config: GPTConfig, prefix: np.ndarray, n: int) -> Int[np.ndarray, "n p *S"]:
    """The first tokens of n sequences.

    Raises:
        InputError: Another shape, more tokens than a sequence has, or tokens outside 0..K-1.
    """
    prefix = np.asarray(prefix)
    codes = config.token_shape[1:]
    if (
        prefix.ndim != 2 + len(codes)
        or len(prefix) != n
        or prefix.shape[1] > config.length
        or prefix.shape[2:] != codes
    ):
        wanted = ", ".join([f"{n}, p", *map(str, codes)])
        raise InputError(
            f"prefix: expected shape ({wanted}) with p of at most {config.length}, found {prefix.shape}; pass the first tokens "
            "of every sequence, in raster order."
        )
    return check_tokens(prefix, config.num_codes, "prefix")
