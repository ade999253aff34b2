"""Bits of tokens and the prices that hold them at a target."""

import math

import jax.numpy as jnp
import numpy as np

from geovq.models.rate import next_prices, token_bits
from tests import reference


def test_bits_equal_the_formula(rng):
    mean, logvar = rng.standard_normal((2, 3, 2, 2, 4)).astype(np.float32)
    found = token_bits(jnp.asarray(mean), jnp.asarray(logvar))
    for place in np.ndindex(3, 2, 2):
        wanted = reference.gaussian_kl(mean[place], logvar[place]) / math.log(2)
        np.testing.assert_allclose(found[place], wanted, rtol=1e-5)


def test_a_price_rises_where_there_are_too_many_bits():
    bits = jnp.array([[[12.0, 9.0, 3.0]]])
    found = next_prices(jnp.ones((1, 3)), bits, 9.0)
    assert found[0, 0] > 1
    assert found[0, 1] == 1
    assert found[0, 2] < 1


def test_prices_bring_every_position_to_the_target():
    """Tokens whose bits answer to their price as rate-distortion theory says, each from another level."""
    levels, prices = jnp.array([[2.0, 14.0]]), jnp.full((1, 2), 0.01)
    for _ in range(2000):
        bits = levels - 0.5 * 16 * jnp.log2(prices / 0.01)
        prices = next_prices(prices, bits[None], 9.0)
    np.testing.assert_allclose(bits, 9, rtol=1e-3)
