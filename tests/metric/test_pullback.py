"""The kernels for one point: closed forms first, then central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.metric.pullback import (
    VOLUME_FLOOR,
    grid_metric,
    inner,
    log_volume,
    norm,
    pullback_metric,
    sketch,
    sketched_metric,
    volume,
)
from tests import reference


def wave(z):
    """A smooth decoder of a latent of any shape to a (2, 4) picture."""
    mixed = jnp.tanh(z.ravel() @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8)))
    return (mixed**2 + mixed).reshape(2, 4)


def test_metric_of_a_linear_decoder_is_that_of_its_matrix():
    a = jnp.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
    np.testing.assert_array_equal(pullback_metric(lambda z: a @ z, jnp.zeros(2)), [[10, 2], [2, 5]])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("tokens", [None, 1, 4, 6, 100])
def test_tokens_at_once_do_not_matter(tokens, rng):
    grid = rng.standard_normal((2, 3, 2))
    found = grid_metric(wave, jnp.asarray(grid), tokens=tokens)
    for row, column in np.ndindex(2, 3):
        wanted = reference.token_metric(wave, grid, row, column)
        np.testing.assert_allclose(found[row, column], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)])
def test_sketch_is_the_probes_times_the_jacobian(shape, rng):
    z, key = rng.standard_normal(shape), jax.random.key(4)
    found = sketch(wave, jnp.asarray(z), 5, key)
    signs = np.asarray(jax.random.rademacher(key, (5, 8), float))
    wanted = signs / np.sqrt(5) @ reference.jacobian(lambda flat: wave(flat.reshape(shape)), z.ravel())
    assert found.shape == (5, *shape)
    np.testing.assert_allclose(found.reshape(5, -1), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_sketched_metric_is_unbiased(rng):
    """The mean of many sketches of two probes lies within four standard errors of the exact metric, entry by entry."""
    z = jnp.asarray(rng.standard_normal(3))
    keys = jax.random.split(jax.random.key(0), 4000)
    sketches = jax.vmap(lambda key: sketched_metric(sketch(wave, z, 2, key)))(keys)
    error = np.asarray(sketches.std(axis=0)) / np.sqrt(len(keys))
    assert (np.abs(sketches.mean(axis=0) - pullback_metric(wave, z)) < 4 * error + 1e-12).all()
    assert (error < 0.05 * np.abs(pullback_metric(wave, z)).max()).all()


@pytest.mark.usefixtures("x64")
def test_every_token_of_a_sketch_has_its_own_metric(rng):
    factor = rng.standard_normal((7, 2, 1, 3))
    found = sketched_metric(jnp.asarray(factor))
    for row in range(2):
        np.testing.assert_allclose(found[row, 0], factor[:, row, 0].T @ factor[:, row, 0], rtol=1e-12)


def test_inner_products_and_norms_by_hand():
    g = jnp.array([[4.0, 1.0], [1.0, 9.0]])
    assert inner(g, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])) == 1
    assert norm(g, jnp.array([0.0, 2.0])) == 6


def test_norm_has_a_gradient_at_zero_and_no_nan_below_it():
    g = jnp.eye(2)
    np.testing.assert_array_equal(jax.grad(lambda v: norm(g, v))(jnp.zeros(2)), [0, 0])
    assert norm(jnp.diag(jnp.array([-1e-12, 0.0])), jnp.ones(2)) == 0


def test_volume_by_hand():
    assert volume(jnp.diag(jnp.array([4.0, 9.0]))) == pytest.approx(6)
    assert volume(jnp.zeros((2, 2))) == 0


@pytest.mark.usefixtures("x64")
def test_volume_of_a_sphere():
    def sphere(z):  # polar and azimuthal angle, radius 2
        return 2 * jnp.stack([jnp.sin(z[0]) * jnp.cos(z[1]), jnp.sin(z[0]) * jnp.sin(z[1]), jnp.cos(z[0])])

    assert volume(pullback_metric(sphere, jnp.array([0.7, 2.0]))) == pytest.approx(4 * np.sin(0.7))


def test_ignored_directions_count_as_the_floor():
    g = jnp.diag(jnp.array([4.0, 0.0]))
    assert log_volume(g) == pytest.approx(0.5 * np.log(4 * 4 * VOLUME_FLOOR))
    assert log_volume(g, floor=0.25) == pytest.approx(0.5 * np.log(4))
    assert log_volume(g, floor=0) == -np.inf
    assert np.isfinite(log_volume(jnp.diag(jnp.array([4.0, -1e-9]))))


def test_volumes_of_many_metrics():
    stack = jnp.stack([jnp.eye(2), 4 * jnp.eye(2)])
    np.testing.assert_allclose(log_volume(stack), [0, np.log(4)], atol=1e-6)
    np.testing.assert_allclose(volume(stack), [1, 4], rtol=1e-6)


@pytest.mark.parametrize("probes", [3, 10])
def test_probes_in_bfloat16_are_not_biased(probes):
    """One pixel: every probe is ±1/√r, so SᵀS is the metric itself."""
    z = jnp.ones(1, jnp.bfloat16)
    found = sketched_metric(sketch(lambda z: 2 * z, z, probes, jax.random.key(0)))
    np.testing.assert_allclose(found, [[4]], rtol=1e-6)


def test_volume_scales_with_the_image():
    """An image twice as bright in d dimensions has 2^d times the volume, ignored directions or not."""
    g = jnp.diag(jnp.array([3.0, 1.0, 0.0]))
    assert log_volume(4 * g) - log_volume(g) == pytest.approx(3 * np.log(2))
