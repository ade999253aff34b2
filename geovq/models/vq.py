"""The quantizer of a VQ-VAE, trained end to end with its encoder and decoder (van den Oord, Vinyals & Kavukcuoglu 2017).

Its codes are moving averages of the latents that they stand for. A code that nobody uses starts anew at a latent of the batch
(Dhariwal et al. 2020, "Jukebox").
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geovq.validation import LARGEST_SIZE, check_whole

_MOST_CODES = 1 << 22


class MovingCodes(NamedTuple):
    """Codes with the moving averages that they are made from."""

    codes: Float[Array, "K d"]
    counts: Float[Array, " K"]
    """Moving average of the number of latents in a batch that a code stands for; 0 before the first batch."""
    sums: Float[Array, "K d"]
    """Moving average of the sum of these latents."""


def initial_codes(num_codes: int, d: int) -> MovingCodes:
    """Codes before the first batch: none counts as used, so that `update_codes` takes all of them from that batch.

    Args:
        num_codes: K.
        d: Channels of a latent.

    Raises:
        InputError: Numbers that are not whole, or too large.
    """
    check_whole("num_codes", num_codes, 1, _MOST_CODES)
    check_whole("d", d, 1, LARGEST_SIZE)
    codes, counts, sums = (jnp.zeros(shape, jnp.float32) for shape in ((num_codes, d), num_codes, (num_codes, d)))
    return MovingCodes(codes, counts, sums)


def update_codes(
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
        tokens: Index of each latent's code, (n,).
        key: Draws the latents that unused codes become.
        decay: Decay of the moving averages.
        least: A code whose moving count is below this part of the mean count is unused: it becomes a random latent of the batch.

    Returns:
        The next codes, none of them unused.
    """
    n, num_codes = len(latents), len(before.codes)
    chosen = jax.nn.one_hot(
        tokens, num_codes, dtype=latents.dtype
    )  # products with it are sums over cells, on any device
    counts = decay * before.counts + (1 - decay) * chosen.sum(axis=0)
    sums = decay * before.sums + (1 - decay) * jnp.matmul(chosen.T, latents, precision="highest")
    unused = counts < least * n / num_codes
    fresh = latents[jax.random.choice(key, n, (num_codes,), replace=n < num_codes)]
    codes = jnp.where(unused[:, None], fresh, sums / jnp.maximum(counts, 1e-9)[:, None])
    counts = jnp.where(unused, n / num_codes, counts)
    return MovingCodes(codes, counts, codes * counts[:, None])


def straight_through(latents: Float[Array, "..."], quantized: Float[Array, "..."]) -> Float[Array, "..."]:
    """`quantized`, with the gradient of `latents` (Bengio, Léonard & Courville 2013)."""
    return latents + jax.lax.stop_gradient(quantized - latents)
