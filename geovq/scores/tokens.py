"""Scores of tokens: how many codes are used, how hard tokens are to predict, how far codes are from the latents."""

import jax
import numpy as np
from jaxtyping import Float, Int

from geovq.batching.chunks import map_chunks
from geovq.numerics.linalg import quadratic_form
from geovq.validation import (
    InputError,
    as_array,
    check_points,
    check_real,
    check_squares,
    check_tokens,
    check_whole,
)

SMOOTHING = 0.5
"""Added to the count of every code before frequencies are taken (Krichevsky and Trofimov, 1981)."""

TOKENS_AT_ONCE = 4096

_MOST_CODES = 1 << 24
"""Codes that are counted at most."""

_quadratic_form = jax.jit(quadratic_form)


def usage(tokens: Int[np.ndarray, "n ..."], num_codes: int) -> float:
    """Fraction of the codes that occur.

    Args:
        tokens: Tokens in 0..K-1, of any shape.
        num_codes: Number of codes K.

    Returns:
        In (0, 1].

    Raises:
        InputError: No tokens, tokens that are not integers, or tokens outside 0..K-1.
    """
    return np.count_nonzero(_counts(_check_tokens("tokens", tokens, num_codes), num_codes)) / num_codes


def perplexity(tokens: Int[np.ndarray, "n ..."], num_codes: int) -> float:
    """Exponential of the entropy of the code frequencies: how many equally frequent codes would be as hard to guess.

    Args:
        tokens: Tokens in 0..K-1, of any shape.
        num_codes: Number of codes K.

    Returns:
        In [1, K].

    Raises:
        InputError: No tokens, tokens that are not integers, or tokens outside 0..K-1.
    """
    counts = _counts(_check_tokens("tokens", tokens, num_codes), num_codes)
    frequencies = counts[counts > 0] / counts.sum()
    return float(np.exp(-(frequencies * np.log(frequencies)).sum()))


def unigram_nats(
    train_tokens: Int[np.ndarray, "n ..."], tokens: Int[np.ndarray, "m ..."], num_codes: int, per_position: bool = False
) -> float:
    """Cross-entropy of tokens under the code frequencies of other tokens: what a model without context reaches.

    A code seen c times among N tokens has probability (c + ½) / (N + K/2), so an unseen code costs finitely.

    Args:
        train_tokens: Tokens (n, h, w) or (n, t) in 0..K-1, whose frequencies are taken.
        tokens: Tokens (m, h, w) or (m, t) that are scored.
        num_codes: Number of codes K.
        per_position: Whether every position of the grid has frequencies of its own.

    Returns:
        Nats per token, the mean over all of `tokens`.

    Raises:
        InputError: No tokens, tokens that are not integers, tokens outside 0..K-1, or, per position, other grids.
    """
    train, scored = _check_tokens("train_tokens", train_tokens, num_codes), _check_tokens("tokens", tokens, num_codes)
    if per_position and train.shape[1:] != scored.shape[1:]:
        raise InputError(
            f"tokens: expected the grid of train_tokens, {train.shape[1:]}, found {scored.shape[1:]}; "
            "pass tokens of one tokenizer, or per_position=False."
        )
    positions = train[0].size if per_position else 1
    # A code of its own for every (position, token) makes the counts of all positions one histogram.
    offsets = num_codes * np.arange(positions)
    counts = (
        _counts(train.reshape(-1, positions) + offsets, positions * num_codes).reshape(positions, num_codes) + SMOOTHING
    )
    log_probabilities = np.log(counts / counts.sum(axis=1, keepdims=True))
    return -float(log_probabilities.ravel()[scored.reshape(-1, positions) + offsets].mean())


def latent_errors(latents: Float[np.ndarray, "n d"], quantized: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Squared Euclidean quantization error of every token, in latent².

    Args:
        latents: Latents (n, d).
        quantized: The code that each became, (n, d).

    Returns:
        (n,), >= 0. Its unit is not that of `metric_errors`: the two cannot be compared.

    Raises:
        InputError: Shapes differ, another rank, no tokens, NaN or infinity.
    """
    moves = _moves(latents, quantized)
    return np.einsum("nd,nd->n", moves, moves)


def metric_errors(
    latents: Float[np.ndarray, "n d"], quantized: Float[np.ndarray, "n d"], metrics: Float[np.ndarray, "n d d"]
) -> Float[np.ndarray, " n"]:
    """Quantization error ΔᵀGΔ of every token under its own metric, in intensity².

    Args:
        latents: Latents (n, d).
        quantized: The code that each became, (n, d).
        metrics: Pullback metrics (n, d, d) at the latents, in intensity² per latent².

    Returns:
        float32 (n,): to first order, how far the move of this one token shifts the decoded image, squared.

    Raises:
        InputError: Shapes differ, another rank, no tokens, NaN or infinity.
    """
    moves = _moves(latents, quantized)
    metrics = as_array("metrics", metrics)
    wanted = (*moves.shape, moves.shape[1])
    if metrics.shape != wanted:
        raise InputError(f"metrics: expected one (d, d) a latent, {wanted}, found {metrics.shape}; reshape them.")
    metrics = check_real("metrics", metrics)
    return np.asarray(map_chunks(_quadratic_form, moves, metrics, chunk=TOKENS_AT_ONCE))


def _moves(latents: np.ndarray, quantized: np.ndarray) -> Float[np.ndarray, "n d"]:
    latents, quantized = check_points("latents", latents), check_points("quantized", quantized)
    if latents.shape != quantized.shape:
        raise InputError(
            f"quantized: expected the shape of the latents, {latents.shape}, found {quantized.shape}; "
            "pass the code that each latent became."
        )
    check_squares("latents", latents)
    check_squares("quantized", quantized)
    return quantized - latents


def _counts(tokens: Int[np.ndarray, "..."], num_codes: int) -> Int[np.ndarray, " K"]:
    return np.bincount(tokens.ravel(), minlength=num_codes)


def _check_tokens(name: str, tokens: np.ndarray, num_codes: int) -> Int[np.ndarray, "n ..."]:
    check_whole("num_codes", num_codes, most=_MOST_CODES)
    tokens = as_array(name, tokens)
    if tokens.size == 0 or tokens.ndim == 0:
        raise InputError(f"{name}: expected at least one token, found shape {np.shape(tokens)}; pass some.")
    return check_tokens(tokens, num_codes, name)
