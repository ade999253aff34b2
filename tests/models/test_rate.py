"""Bits of tokens, and the multipliers that hold them at a target."""

import math

import jax.numpy as jnp
import numpy as np

from geovq.models.rate import token_bits, update_multipliers
from tests import reference


def test_bits_equal_the_formula(rng):
    mean, logvar = rng.standard_normal((2, 3, 2, 2, 4)).astype(np.float32)
    found = token_bits(jnp.asarray(mean), jnp.asarray(logvar))
    for index in np.ndindex(3, 2, 2):
        wanted = reference.gaussian_kl(mean[index], logvar[index]) / math.log(2)
        np.testing.assert_allclose(found[index], wanted, rtol=1e-5)


def test_a_multiplier_rises_where_there_are_too_many_bits():
    bits = jnp.array([[[12.0, 9.0, 3.0]]])
    found = update_multipliers(jnp.ones((1, 3)), bits, 9.0)
    assert found[0, 0] > 1
    assert found[0, 1] == 1
    assert found[0, 2] < 1


def test_multipliers_bring_every_position_to_the_target():
    """Tokens whose bits answer to their multiplier as rate-distortion theory says, each from another level."""
    levels, multipliers = jnp.array([[2.0, 14.0]]), jnp.full((1, 2), 0.01)
    for _ in range(2000):
        bits = levels - 0.5 * 16 * jnp.log2(multipliers / 0.01)
        multipliers = update_multipliers(multipliers, bits[None], 9.0)
    np.testing.assert_allclose(bits, 9, rtol=1e-3)
