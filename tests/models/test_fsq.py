"""Finite scalar quantization: its levels, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.models.fsq import bound, channel_codes, channel_tokens, grid_codes, grid_tokens, round_levels
from geovq.numerics.additive import sum_codes
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


@pytest.mark.parametrize("levels", [(2, 3, 4, 5), (8, 8, 8, 5, 5, 5)])
def test_codes_of_channels_add_up_to_those_of_the_grid(levels):
    whole, channels, rng = grid_codes(levels), channel_codes(levels), np.random.default_rng(0)
    assert channels.shape == (len(levels), max(levels), len(levels))
    tokens = rng.integers(len(whole), size=(7, 2, 3))
    of_channels = channel_tokens(tokens, levels)
    np.testing.assert_array_equal(sum_codes(channels, of_channels), whole[tokens])
    np.testing.assert_array_equal(grid_tokens(of_channels, levels), tokens)


def test_tokens_of_channels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"tokens: expected shape \(..., 2\), found \(4, 3\)"):
        grid_tokens(np.zeros((4, 3), int), (2, 3))
    with pytest.raises(InputError, match=r"expected integers in 0..2, found 1 outside"):
        grid_tokens(np.array([[1, 3]]), (2, 3))
    with pytest.raises(InputError, match=r"expected 0..1 in channel 0, found 2; give the levels in the model's order"):
        grid_tokens(np.array([[1, 2], [2, 2]]), (2, 3))
    with pytest.raises(InputError, match=r"expected integers in 0..5, found 1 outside"):
        channel_tokens(np.array([6]), (2, 3))


def test_a_latent_of_zero_is_at_zero():
    np.testing.assert_allclose(bound(jnp.zeros((1, 3)), (8, 5, 2)), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "levels: expected one or more whole numbers"),
        ((8, 1), r"levels\[1\]: expected a whole number in 2\.\.65536, found 1"),
        ((1000, 1000, 1000), "at most 4,194,304 codes, found 1,000,000,000; take channel_codes"),
    ],
)
def test_impossible_levels_are_refused(levels, message):
    with pytest.raises(InputError, match=message):
        grid_codes(levels)
