"""Quantizers that are trained end to end with their encoder and decoder: what a tokenizer made afterwards is compared with.

VQ (van den Oord, Vinyals & Kavukcuoglu 2017) learns its codes as moving averages of the latents that they stand for, with codes
that nobody uses started anew (Dhariwal et al. 2020, "Jukebox"). FSQ (Mentzer et al. 2024) rounds every number of a bounded latent
to one of a few levels and has nothing to learn. Gradients pass both as if nothing had been rounded.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geovq.validation import InputError


class MovingCodes(NamedTuple):
    """Codes with the moving averages that they are made from."""

    codes: Float[Array, "K d"]
    counts: Float[Array, " K"]
    """Moving average of the latents of a batch that a code stands for; 0 before the first batch."""
    sums: Float[Array, "K d"]
    """Moving average of the sum of these latents."""


def new_codes(k: int, d: int) -> MovingCodes:
    """Codes before the first batch, which `moved` takes from that batch: none of them counts as used."""
    return MovingCodes(jnp.zeros((k, d)), jnp.zeros(k), jnp.zeros((k, d)))


def moved(
    before: MovingCodes,
    latents: Float[Array, "n d"],
    tokens: Int[Array, " n"],
    key: PRNGKeyArray,
    *,
    decay: float = 0.99,
    least: float = 0.1,
) -> MovingCodes:
    """The codes after one more batch.

    Args:
        before: The codes.
        latents: Latents of the batch (n, d).
        tokens: The code of each, (n,).
        key: Of the latents that unused codes become.
        decay: Of the moving averages.
        least: A code whose moving count is below this part of the mean count is unused: it becomes a random latent of the batch.

    Returns:
        The next codes, none of them unused.
    """
    n, k = len(latents), len(before.codes)
    chosen = jax.nn.one_hot(tokens, k, dtype=latents.dtype)  # products with it are sums over cells, on any device
    counts = decay * before.counts + (1 - decay) * chosen.sum(axis=0)
    sums = decay * before.sums + (1 - decay) * jnp.matmul(chosen.T, latents, precision="highest")
    unused = counts < least * n / k
    fresh = latents[jax.random.choice(key, n, (k,), replace=n < k)]
    codes = jnp.where(unused[:, None], fresh, sums / jnp.maximum(counts, 1e-9)[:, None])
    counts = jnp.where(unused, n / k, counts)
    return MovingCodes(codes, counts, codes * counts[:, None])


def straight_through(latents: Float[Array, "..."], quantized: Float[Array, "..."]) -> Float[Array, "..."]:
    """`quantized`, with the gradient of `latents`."""
    return latents + jax.lax.stop_gradient(quantized - latents)


def check_levels(levels: tuple[int, ...]) -> None:
    """Refuses levels that FSQ cannot have.

    Raises:
        InputError: None, or fewer than two of a number.
    """
    if not levels or min(levels) < 2:
        raise InputError(f"levels: expected at least 2 levels of each number, found {levels}; change them.")


def bounded(z: Float[Array, "... d"], levels: tuple[int, ...]) -> Float[Array, "... d"]:
    """Squashes latents to between the outermost levels of each number, the lowest of which is at -1.

    Args:
        z: Latents of any size.
        levels: Levels of each of the d numbers, at least 2; l of them are 1/⌊l/2⌋ apart.

    Returns:
        Of the same shape; `rounded` gives the codes.
    """
    sizes = np.asarray(levels, np.float32)
    half = (sizes - 1) * (1 + 1e-3) / 2
    offset = np.where(sizes % 2 == 0, 0.5, 0.0)  # an even number of levels is not symmetric about 0
    shift = _like(np.arctanh(offset / half), z)
    return (jnp.tanh(z + shift) * _like(half, z) - _like(offset, z)) / _like(sizes // 2, z)


def rounded(z: Float[Array, "... d"], levels: tuple[int, ...]) -> Float[Array, "... d"]:
    """`bounded` latents at the nearest level of each number, with the gradient of what is not rounded."""
    scale = _like(np.asarray(levels) // 2, z)
    return straight_through(z, jnp.round(z * scale) / scale)


def grid_codes(levels: tuple[int, ...]) -> Float[np.ndarray, "K d"]:
    """All codes of FSQ, that is, all that `rounded` can give.

    Args:
        levels: Levels of each of the d numbers.

    Returns:
        float32 (K, d), K the product of the levels; the last number changes fastest.

    Raises:
        InputError: Impossible levels.
    """
    check_levels(levels)
    axes = [(np.arange(size) - size // 2) / (size // 2) for size in levels]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(math.prod(levels), -1).astype(np.float32)


def _like(values: np.ndarray, z: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """One value for each of the d numbers, of the shape of z."""
    return jnp.broadcast_to(jnp.asarray(values, z.dtype), z.shape)
