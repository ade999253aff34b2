"""Quantizers trained end to end: codes as moving averages, unused ones started anew, and FSQ's levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.models.quantizers import MovingCodes, bounded, grid_codes, moved, new_codes, rounded, straight_through
from geovq.validation import InputError
from tests import reference


def test_codes_follow_the_mean_of_their_latents():
    before = MovingCodes(jnp.zeros((2, 1)), jnp.array([2.0, 2.0]), jnp.array([[0.0], [20.0]]))
    latents = jnp.array([[1.0], [3.0], [10.0], [10.0]])
    found = moved(before, latents, jnp.array([0, 0, 1, 1]), jax.random.key(0), decay=0.5)
    np.testing.assert_allclose(found.counts, [2, 2])
    np.testing.assert_allclose(found.codes, [[1], [10]])  # half of 0/2 and (1 + 3)/2; 20/2 and 20/2 agree


def test_equals_the_slow_truth(rng):
    counts, sums = rng.uniform(1, 2, 5), rng.standard_normal((5, 3))
    latents, tokens = rng.standard_normal((40, 3)), rng.integers(5, size=40)
    before = MovingCodes(*(jnp.asarray(x, jnp.float32) for x in (sums, counts, sums)))
    found = moved(before, jnp.asarray(latents, jnp.float32), jnp.asarray(tokens), jax.random.key(0))
    wanted_counts, wanted_sums = reference.moving_codes(counts, sums, latents, tokens, 0.99)
    np.testing.assert_allclose(found.counts, wanted_counts, rtol=1e-5)
    np.testing.assert_allclose(found.codes, wanted_sums / wanted_counts[:, None], rtol=1e-4)


def test_the_first_batch_gives_the_codes_and_unused_ones_start_anew(rng):
    latents = jnp.asarray(rng.standard_normal((50, 3)), jnp.float32)
    rows = {row.tobytes() for row in np.asarray(latents)}
    first = moved(new_codes(8, 3), latents, jnp.zeros(50, jnp.int32), jax.random.key(1))
    assert len({row.tobytes() for row in np.asarray(first.codes)} & rows) == 8  # distinct latents
    state, used = first, jnp.zeros(50, jnp.int32)
    for step in range(300):
        state = moved(state, latents, used, jax.random.key(step))
        assert (state.counts >= 0.1 * 50 / 8 - 1e-4).all()
    np.testing.assert_allclose(state.codes[0], latents.mean(axis=0), atol=0.05)


def test_gradients_pass_straight_through():
    gradient = jax.grad(lambda z: jnp.sum(straight_through(z, jnp.round(z)) ** 2))(jnp.array([0.4, 1.7]))
    np.testing.assert_allclose(gradient, 2 * np.array([0.0, 2.0]))


@pytest.mark.parametrize("levels", [(2, 3, 4, 5), (8, 8, 8), (8, 5, 5, 5)])
def test_fsq_reaches_exactly_its_codes(levels):
    codes = grid_codes(levels)
    assert codes.shape == (np.prod(levels), len(levels))
    z = jnp.asarray(np.random.default_rng(0).normal(0, 3, (20_000, len(levels))), jnp.float32)
    found = np.asarray(rounded(bounded(z, levels), levels))
    for column, count in enumerate(levels):
        values = np.unique(found[:, column].round(5))
        np.testing.assert_allclose(values, np.unique(codes[:, column]), atol=1e-5)
        assert len(values) == count
    assert np.abs(found - np.asarray(bounded(z, levels))).max() <= 0.5 / min(size // 2 for size in levels) + 1e-3
    np.testing.assert_allclose(rounded(jnp.asarray(codes), levels), codes, atol=1e-6)


def test_a_latent_of_zero_is_at_zero():
    np.testing.assert_allclose(bounded(jnp.zeros((1, 3)), (8, 5, 2)), 0, atol=1e-6)


@pytest.mark.parametrize("levels", [(), (8, 1)])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(InputError, match="at least 2 levels of each number"):
        grid_codes(levels)
