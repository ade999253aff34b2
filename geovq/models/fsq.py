"""Finite scalar quantization (Mentzer et al. 2024): every number of a bounded latent is rounded to one of a few levels.

It has nothing to learn. Gradients pass as if nothing had been rounded. Its codes can be written in two ways: as one codebook of
all combinations of levels (`grid_codes`), or as a quantizer of a few numbers for each channel (`channel_codes`), whose tokens
`grid_tokens` puts together. Both describe the same tokens; the second needs no memory for K codes, whatever K is.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.models.vq import straight_through
from geovq.validation import LARGEST_SIZE, InputError, as_array, check_tokens, check_whole, shown

MOST_CODES = 1 << 22
"""Of `grid_codes`, which are in memory."""


_MOST_TOKENS = 1 << 31


def check_levels(levels: tuple[int, ...]) -> None:
    """Refuses levels that FSQ cannot have.

    Raises:
        InputError: No levels at all, fewer than two of a number, or more codes than tokens of 32 bits can tell apart.
    """
    if not isinstance(levels, Sequence) or isinstance(levels, str | bytes) or not levels:
        raise InputError(f"levels: expected one or more whole numbers, found {shown(levels)}; pass a tuple of them.")
    for number, size in enumerate(levels):
        check_whole(f"levels[{number}]", size, 2, LARGEST_SIZE)
    if math.prod(map(int, levels)) > _MOST_TOKENS:
        raise InputError(
            f"levels: expected at most 2^31 codes, found levels {shown(levels)}; take fewer channels or levels."
        )


def bound(z: Float[Array, "*batch d"], levels: tuple[int, ...]) -> Float[Array, "*batch d"]:
    """Squashes latents to between the outermost levels of each number, the lowest of which is at -1.

    Args:
        z: Latents of any size.
        levels: Levels of each of the d numbers, at least 2; l of them are 1/⌊l/2⌋ apart.

    Returns:
        Bounded latents of the same shape; `round_levels` makes codes of them.
    """
    sizes = np.asarray(levels, np.float32)
    half = (sizes - 1) * (1 + 1e-3) / 2
    offset = np.where(sizes % 2 == 0, 0.5, 0.0)  # an even number of levels is not symmetric about 0
    shift = _like(np.arctanh(offset / half), z)
    return (jnp.tanh(z + shift) * _like(half, z) - _like(offset, z)) / _like(sizes // 2, z)


def round_levels(z: Float[Array, "*batch d"], levels: tuple[int, ...]) -> Float[Array, "*batch d"]:
    """Bounded latents at the nearest level of each number, with the gradient of the unrounded latents."""
    scale = _like(np.asarray(levels) // 2, z)
    return straight_through(z, jnp.round(z * scale) / scale)


def grid_codes(levels: tuple[int, ...]) -> Float[np.ndarray, "K d"]:
    """All codes of FSQ: everything that `round_levels` can return.

    Args:
        levels: Levels of each of the d numbers.

    Returns:
        float32 (K, d), K the product of the levels; the last number changes fastest.

    Raises:
        InputError: Impossible levels, or more than `MOST_CODES` codes.
    """
    check_levels(levels)
    if (count := math.prod(levels)) > MOST_CODES:
        raise InputError(f"levels: expected at most {MOST_CODES:,} codes, found {count:,}; take channel_codes.")
    axes = [(np.arange(size) - size // 2) / (size // 2) for size in levels]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(math.prod(levels), -1).astype(np.float32)


def channel_codes(levels: tuple[int, ...]) -> Float[np.ndarray, "d L d"]:
    """The codes of FSQ as one quantizer for each channel, d·L² numbers in place of the K·d of `grid_codes`.

    Args:
        levels: Levels of each of the d numbers.

    Returns:
        float32 (d, L, d), L the largest of the levels: additive codes (S, K, d). A channel with fewer repeats its last.

    Raises:
        InputError: Impossible levels.
    """
    check_levels(levels)
    found = np.zeros((len(levels), max(levels), len(levels)), np.float32)
    for channel, size in enumerate(levels):
        axis = (np.arange(size) - size // 2) / (size // 2)
        found[channel, :, channel] = np.pad(axis, (0, max(levels) - size), mode="edge")
    return found


def grid_tokens(tokens: Int[np.ndarray, "*batch d"], levels: tuple[int, ...]) -> Int[np.ndarray, "*batch"]:
    """Tokens of `channel_codes`, one for each channel, as tokens of `grid_codes`, one for all.

    Args:
        tokens: Of every channel, in 0..L-1.
        levels: Levels of each of the d numbers.

    Returns:
        int32, in 0..K-1.

    Raises:
        InputError: Impossible levels, another number of channels, or tokens that a channel does not have.
    """
    check_levels(levels)
    tokens = as_array("tokens", tokens)
    if tokens.ndim == 0 or tokens.shape[-1] != len(levels):
        raise InputError(
            f"tokens: expected shape (..., {len(levels)}), found {tokens.shape}; give one for each channel."
        )
    tokens = check_tokens(tokens, max(levels))
    bad = tokens >= np.asarray(levels)
    if bad.any():
        channel = int(np.argmax(bad.reshape(-1, len(levels)).any(axis=0)))
        raise InputError(
            f"tokens: expected 0..{levels[channel] - 1} in channel {channel}, found {int(tokens[..., channel].max())}; give the "
            "levels in the model's order, and the channels on the last axis."
        )
    return np.ravel_multi_index(tuple(np.moveaxis(tokens, -1, 0)), levels).astype(np.int32)


def channel_tokens(tokens: Int[np.ndarray, "*batch"], levels: tuple[int, ...]) -> Int[np.ndarray, "*batch d"]:
    """The inverse of `grid_tokens`.

    Raises:
        InputError: Impossible levels, or tokens outside 0..K-1.
    """
    check_levels(levels)
    indices = np.unravel_index(check_tokens(as_array("tokens", tokens), math.prod(levels)), levels)
    return np.stack(indices, axis=-1).astype(np.int32)


def _like(values: np.ndarray, z: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    """One value for each of the d numbers, of the shape of z."""
    return jnp.broadcast_to(jnp.asarray(values, z.dtype), z.shape)
