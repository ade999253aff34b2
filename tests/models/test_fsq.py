"""Finite scalar quantization: its levels, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.models.fsq import bound, grid_codes, round_levels
from geovq.validation import InputError


@pytest.mark.parametrize("levels", [(2, 3, 4, 5), (8, 8, 8), (8, 5, 5, 5)])
def test_fsq_reaches_exactly_its_codes(levels):
    codes = grid_codes(levels)
    assert codes.shape == (np.prod(levels), len(levels))
    z = jnp.asarray(np.random.default_rng(0).normal(0, 3, (20_000, len(levels))), jnp.float32)
    found = np.asarray(round_levels(bound(z, levels), levels))
    for column, count in enumerate(levels):
        values = np.unique(found[:, column].round(5))
        np.testing.assert_allclose(values, np.unique(codes[:, column]), atol=1e-5)
        assert len(values) == count
    assert np.abs(found - np.asarray(bound(z, levels))).max() <= 0.5 / min(size // 2 for size in levels) + 1e-3
    np.testing.assert_allclose(round_levels(jnp.asarray(codes), levels), codes, atol=1e-6)


def test_a_latent_of_zero_is_at_zero():
    np.testing.assert_allclose(bound(jnp.zeros((1, 3)), (8, 5, 2)), 0, atol=1e-6)


@pytest.mark.parametrize("levels", [(), (8, 1)])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(InputError, match="at least 2 levels of each number"):
        grid_codes(levels)
