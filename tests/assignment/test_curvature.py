"""Where Joint has JᵀJ from: products at once change nothing, beside an exact gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.banded import Banded
from geovq.assignment.base import Codebook
from geovq.assignment.curvature import BandCurvature, ExactCurvature, ProjectedCurvature
from geovq.assignment.gauss_newton import Place
from geovq.assignment.problem import as_problem, cost_gradient
from geovq.batching.memory import DecoderMemory
from geovq.batching.plan import settle
from geovq.batching.run import Call
from geovq.metric.band import make_lattice
from tests import reference

SHAPE = (6, 4, 1)


def connected(z):
    """Pixels of 2 x 1 a token, normalised over the image, and attention of every token to all others."""
    flat = z.reshape(-1, 1)
    z = z + (jax.nn.softmax(jnp.matmul(flat, flat.T)) @ flat).reshape(z.shape)
    wide = jnp.repeat(z, 2, axis=0)
    return (wide - wide.mean()) / jnp.sqrt(wide.var() + 1e-3)


def differences(grid):
    """The Jacobian, in double precision."""
    with jax.enable_x64(True):
        return reference.jacobian(jax.jit(connected), np.float64(grid))


@pytest.fixture
def case(rng):
    """A decoder in which all is connected, as a problem, with origins and images of two rows."""
    latents = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    codebook = Codebook(np.zeros((1, 2, 1), np.float32), np.ones((6, 4, 1, 1), np.float32))
    return as_problem(connected, latents, codebook), latents, rng.uniform(size=(2, 12, 4, 1)).astype(np.float32)


def test_the_gradient_is_exact(case):
    problem, origins, images = case
    for grid, image in zip(origins, images, strict=True):
        wanted = -2 * differences(grid).T @ (image - np.asarray(connected(grid))).ravel()
        found = np.asarray(cost_gradient(problem, jnp.asarray(grid), jnp.asarray(image)))
        np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("passes", [1, 7, 40])
def test_products_at_once_change_nothing(passes, case):
    """Of 20 products of each of two rows: one at once, seven with a rest, or all."""
    problem, origins, _ = case
    curvature, places = BandCurvature(2, 5), Place(origins, origins, np.zeros(2, np.int32))
    found, whole = (Call(settle(), many)(curvature, problem, places) for many in (passes, 1000))
    assert isinstance(found, Banded)
    assert isinstance(whole, Banded)
    np.testing.assert_allclose(found.band, whole.band, rtol=1e-5, atol=1e-6)
    wanted = reference.coloured_band(differences(origins[1]).reshape(12, 4, 1, *SHAPE), 2, 5)
    np.testing.assert_allclose(found.band[1], wanted, rtol=1e-3, atol=1e-3)


def test_jacobians_along_directions_count_their_gram():
    decoder = DecoderMemory(forward=10, residuals=30, tangent=5, cotangent=5, image=4, parameters=100)
    assert (
        ProjectedCurvature(directions=3, coordinates=20).memory(decoder, (4, 5, 1)).held == 30 + 10 + 3 * 4 + 4 * 20**2
    )


def test_as_many_products_as_the_lattice_has():
    assert BandCurvature(1, 5).passes((60, 40, 4)) == make_lattice((60, 40, 4)).products == 100
    assert ExactCurvature().passes((6, 4, 1)) == 24
