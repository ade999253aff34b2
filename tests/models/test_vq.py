"""The quantizer of a VQ-VAE: codes as moving averages, and unused codes that start anew."""

import jax
import jax.numpy as jnp
import numpy as np

from geovq.models.vq import MovingCodes, initial_codes, straight_through, update_codes
from tests import reference


def test_codes_follow_the_mean_of_their_latents():
    before = MovingCodes(jnp.zeros((2, 1)), jnp.array([2.0, 2.0]), jnp.array([[0.0], [20.0]]))
    latents = jnp.array([[1.0], [3.0], [10.0], [10.0]])
    found = update_codes(before, latents, jnp.array([0, 0, 1, 1]), jax.random.key(0), decay=0.5)
    np.testing.assert_allclose(found.counts, [2, 2])
    np.testing.assert_allclose(found.codes, [[1], [10]])  # half of 0/2 and (1 + 3)/2; 20/2 and 20/2 agree


def test_equals_the_slow_truth(rng):
    counts, sums = rng.uniform(1, 2, 5), rng.standard_normal((5, 3))
    latents, tokens = rng.standard_normal((40, 3)), rng.integers(5, size=40)
    before = MovingCodes(*(jnp.asarray(x, jnp.float32) for x in (sums, counts, sums)))
    found = update_codes(before, jnp.asarray(latents, jnp.float32), jnp.asarray(tokens), jax.random.key(0))
    wanted_counts, wanted_sums = reference.moving_codes(counts, sums, latents, tokens, 0.99)
    np.testing.assert_allclose(found.counts, wanted_counts, rtol=1e-5)
    np.testing.assert_allclose(found.codes, wanted_sums / wanted_counts[:, None], rtol=1e-4)


def test_the_first_batch_gives_the_codes_and_unused_ones_start_anew(rng):
    latents = jnp.asarray(rng.standard_normal((50, 3)), jnp.float32)
    rows = {row.tobytes() for row in np.asarray(latents)}
    first = update_codes(initial_codes(8, 3), latents, jnp.zeros(50, jnp.int32), jax.random.key(1))
    assert len({row.tobytes() for row in np.asarray(first.codes)} & rows) == 8  # distinct latents
    state, used = first, jnp.zeros(50, jnp.int32)
    update = jax.jit(update_codes)
    for step in range(300):
        state = update(state, latents, used, jax.random.key(step))
        assert (state.counts >= 0.1 * 50 / 8 - 1e-4).all()
    np.testing.assert_allclose(state.codes[0], latents.mean(axis=0), atol=0.05)


def test_gradients_pass_straight_through():
    gradient = jax.grad(lambda z: jnp.sum(straight_through(z, jnp.round(z)) ** 2))(jnp.array([0.4, 1.7]))
    np.testing.assert_allclose(gradient, 2 * np.array([0.0, 2.0]))
