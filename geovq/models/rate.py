"""The rate of a VAE, in bits of a token, and its control: a code of K costs log2 K bits, so that is what a token should carry.

Left alone, KL bits lie unevenly: tokens at the corners of an image carry hardly any, those in the middle twice the mean, while
each becomes one of the same K codes. The controller gives every position of the grid a price for its bits and moves these prices
until each position carries the target in the mean; how many a token of one image takes is left to the encoder. (Xu et al. 2025,
"Vector Quantization using Gaussian Variational Autoencoder", bound the divergence of every single token instead.)
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

GAIN = 0.02
"""How strongly prices answer to the error of a step's rate; they remember about 1/GAIN steps."""


def token_bits(mean: Float[Array, "n h w d"], logvar: Float[Array, "n h w d"]) -> Float[Array, "n h w"]:
    """KL divergence of every token's Gaussian posterior from the unit Gaussian, in bits.

    Args:
        mean: Posterior means.
        logvar: Logarithms of the posterior variances.

    Returns:
        Bits (n, h, w), >= 0.
    """
    return 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - 1 - logvar, axis=-1) / math.log(2)


def next_prices(prices: Float[Array, "h w"], bits: Float[Array, "n h w"], target: float) -> Float[Array, "h w"]:
    """The price of a nat at each position, raised where a batch has more bits than the target and lowered where it has fewer.

    Args:
        prices: The prices now; > 0. One price for all positions would be the β of a β-VAE.
        bits: Of every token of the batch.
        target: Bits that a token should carry in the mean.

    Returns:
        The prices for the next batch.
    """
    return prices * jnp.exp(GAIN * (bits.mean(axis=0) - target) / target)
