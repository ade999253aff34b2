"""The rate of a VAE, in bits of a token, and its control: one of K codes costs log2 K bits, so a token should carry as many.

Without control, KL bits lie unevenly: tokens at the corners of an image carry hardly any, tokens in the middle twice the mean,
while each becomes one of the same K codes. The controller gives every position of the grid a multiplier of its bits, and changes
it until the position carries the target in the mean; the encoder decides how many bits a token of one image takes. (Xu et al.
2025, "Vector Quantization using Gaussian Variational Autoencoder", bound the divergence of every single token instead.)
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

GAIN = 0.02
"""How strongly multipliers answer to the error of a step's rate; they remember about 1/GAIN steps."""


def token_bits(mean: Float[Array, "n h w d"], logvar: Float[Array, "n h w d"]) -> Float[Array, "n h w"]:
    """KL divergence of every token's Gaussian posterior from the unit Gaussian, in bits.

    Args:
        mean: Posterior means.
        logvar: Logarithms of the posterior variances.

    Returns:
        Bits (n, h, w), >= 0.
    """
    return 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - 1 - logvar, axis=-1) / math.log(2)


def update_multipliers(
    multipliers: Float[Array, "h w"], bits: Float[Array, "n h w"], target: float
) -> Float[Array, "h w"]:
    """The multiplier of a nat at each position, raised where a batch has more bits than the target, lowered where it has fewer.

    Args:
        multipliers: The multipliers now; > 0. The same multiplier at all positions would be the β of a β-VAE.
        bits: Bits of every token of the batch.
        target: Bits that a token should carry in the mean.

    Returns:
        The multipliers for the next batch.
    """
    return multipliers * jnp.exp(GAIN * (bits.mean(axis=0) - target) / target)
