"""Bands at many grids, and what they are said to leave out, beside the dense JᵀJ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.batching.plan import Plan
from geovq.metric.neighbours import band_error, neighbour_metrics, response_outside
from geovq.validation import InputError
from tests import reference

SHAPE = (5, 4, 1)


def decode(z):
    """Two rows of pixels a token, which mix along columns of three, normalised over the image: all is connected, a little."""
    wide = jnp.repeat(jnp.sin(z), 2, axis=0)
    padded = jnp.pad(wide, ((0, 0), (1, 1), (0, 0)))
    mixed = padded[:, :-2] / 2 + wide + padded[:, 2:] / 3
    return (mixed - mixed.mean()) / jnp.sqrt(mixed.var() + 1e-3)


@pytest.fixture
def grids(rng):
    return rng.standard_normal((3, *SHAPE)).astype(np.float32)


@pytest.fixture
def jacobians(grids):
    """In double precision."""
    with jax.enable_x64(True):
        function = jax.jit(decode)
        return [reference.jacobian(function, np.float64(grid)).reshape(10, 4, 1, *SHAPE) for grid in grids]


@pytest.mark.parametrize("plan", [Plan(), Plan(passes=4), Plan(passes=24)])
def test_bands_of_many_grids(plan, grids, jacobians):
    """All at once, four of 9 products of one grid with a rest, and two grids with another that fills the chunk."""
    found = neighbour_metrics(decode, grids, radius=1, spacing=3, plan=plan)
    wanted = np.stack([reference.coloured_band(jacobian, 1, 3) for jacobian in jacobians])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("radius", "spacing"), [(1, 3), (0, 5), (4, 9)])
def test_what_is_left_out_of_all_rows(radius, spacing, grids, jacobians):
    outside = inside = whole = 0
    for jacobian in jacobians:
        full = jacobian.reshape(-1, 20).T @ jacobian.reshape(-1, 20)
        near = reference.dense_of_band(reference.coloured_band(jacobian, radius, 9))
        found = reference.dense_of_band(reference.coloured_band(jacobian, radius, spacing))
        whole += np.sum(full**2)
        outside, inside = outside + np.sum((full - near) ** 2), inside + np.sum((found - near) ** 2)
    error = band_error(decode, grids, radius=radius, spacing=spacing, tokens=1000)
    np.testing.assert_allclose(error, np.sqrt([outside / whole, inside / whole]), rtol=1e-3, atol=1e-3)
    assert radius == 4 or error.outside > 0.1


def test_tokens_without_pixels_of_their_own_are_refused(grids):
    with pytest.raises(InputError, match=r"sides are multiples of the 5x4 tokens', found shape \(20,\)"):
        neighbour_metrics(lambda z: z.ravel(), grids)


def test_how_much_of_a_response_lies_outside():
    """Sums over the image put a constant beside every response, and blocks that do not mix none."""
    local = response_outside(lambda z: jnp.repeat(z, 2, axis=0), np.ones((9, 9, 1), np.float32))
    everywhere = response_outside(lambda z: jnp.repeat(z, 2, axis=0) + z.sum(), np.ones((9, 9, 1), np.float32))
    inside = 2 * 2**2 + (2 * 25 - 2)  # of the token's own two pixels and of the others in its window
    assert local == 0
    assert everywhere == pytest.approx(1 - inside / (2 * 2**2 + 2 * 81 - 2))


def test_integers_are_latents(grids):
    whole = np.round(grids).astype(np.int32)
    assert band_error(decode, whole, tokens=2) == band_error(decode, whole.astype(np.float32), tokens=2)


def test_images_that_are_not_finite_have_no_band(grids):
    with pytest.raises(InputError, match="found NaN or infinity at latent 0"):
        neighbour_metrics(lambda z: decode(z) + jnp.nan, grids)
