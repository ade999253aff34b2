"""The linearised error of an image: a linear decoder, where it is exact, then finite differences and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.problem import Problem, cost_gradient
from geovq.assignment.quadratic import (
    LinearisedError,
    Sketched,
    code_squares,
    damp,
    descend,
    exact_quadratic,
    projected_quadratic,
    sketched_quadratic,
)
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder, as_partial
from tests import reference

H, W, D, K = 1, 3, 2, 4

At = tuple[Decoder, jax.Array, jax.Array]


@pytest.fixture
def decoder(rng):
    """A decoder of grids (1, 3, 2) to images (2, 4, 1), curved where `bend` is not zero."""
    weights = rng.standard_normal((H * W * D, 8)).astype(np.float32)
    return lambda bend: lambda z: jnp.reshape(z.ravel() @ weights + bend * jnp.sin(z.ravel()) @ weights, (2, 4, 1))


@pytest.fixture
def grid(rng):
    return rng.standard_normal((H, W, D)).astype(np.float32)


@pytest.fixture
def image(rng):
    return rng.uniform(size=(2, 4, 1)).astype(np.float32)


def gradient_at(decode, grid, image):
    """Of the error, by one reverse-mode product."""
    d = grid.shape[-1]
    problem = Problem(as_partial(decode), jnp.zeros((1, K, d)), jnp.zeros((grid.size // d, d, d)))
    return cost_gradient(problem, jnp.asarray(grid), jnp.asarray(image))


@pytest.fixture
def at(decoder, grid, image):
    """A curved decoder, a grid of latents, and the gradient of the error there."""
    return decoder(0.7), jnp.asarray(grid), gradient_at(decoder(0.7), grid, image)


def value(quadratic, move):
    """The error that a quadratic gives a step, without its constant."""
    if isinstance(quadratic, Sketched):
        curvature = np.sum(np.einsum("rqi,qi->r", quadratic.factor, move) ** 2)
        return np.sum(quadratic.gradient * move) + curvature + np.einsum("qi,qij,qj->", move, quadratic.own, move)
    y = np.einsum("qri,qi->qr", quadratic.coordinates, move)
    own = np.einsum("qi,qij,qj->", move, quadratic.own, move)
    return np.sum(quadratic.gradient * move) + np.einsum("qi,qirj,rj->", y, quadratic.gram, y) + own


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_of_a_linear_decoder_it_is_the_error_itself(tokens, decoder, grid, image, rng):
    decode = decoder(0.0)
    quadratic = exact_quadratic(decode, jnp.asarray(grid), gradient_at(decode, grid, image), tokens=tokens)
    for _ in range(5):
        move = rng.standard_normal((H * W, D)).astype(np.float32)
        after = np.sum((image - decode(grid + move.reshape(grid.shape))) ** 2)
        before = np.sum((image - decode(grid)) ** 2)
        np.testing.assert_allclose(value(quadratic, move), after - before, rtol=1e-4, atol=1e-4)


def test_gradient_and_gram_equal_finite_differences(x64, decoder, grid, image):
    decode, grid = decoder(0.7), jnp.asarray(grid, float)
    quadratic = exact_quadratic(decode, grid, gradient_at(decode, grid, image), tokens=3)
    jacobian = reference.jacobian(lambda z: np.ravel(decode(z.reshape(grid.shape))), np.ravel(grid))
    residual = np.ravel(image) - np.ravel(decode(grid))
    np.testing.assert_allclose(quadratic.gram.reshape(6, 6), jacobian.T @ jacobian, atol=1e-6)
    np.testing.assert_allclose(quadratic.gradient.ravel(), -2 * jacobian.T @ residual, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_along_directions_it_is_exact_and_beside_them_it_has_the_mean_metric(at_once, at: At, rng):
    exact = exact_quadratic(*at, tokens=3)
    roots = rng.standard_normal((H * W, D, D))
    metrics = (roots @ roots.swapaxes(1, 2)).astype(np.float32)
    directions = leading_directions(metrics.reshape(H, W, D, D), rng.standard_normal((1, K, D)).astype(np.float32), 4)
    found = projected_quadratic(*at, directions, at_once=at_once)
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-4, atol=1e-5)
    steps = directions.steps.reshape(4, -1, D)
    along = np.einsum("r,rqi->qi", rng.standard_normal(4), steps).astype(np.float32)
    np.testing.assert_allclose(value(found, along), value(exact, along), rtol=1e-3)
    move = rng.standard_normal((H * W, D)).astype(np.float32)
    y = np.einsum("qri,qi->qr", directions.coordinates, move)[directions.tokens, directions.columns]
    beside = move - np.einsum("r,rqi->qi", y, steps)
    expected = np.sum(exact.gradient * beside) + np.einsum("qi,qij,qj->", beside, metrics, beside)
    np.testing.assert_allclose(value(found, beside), expected, rtol=1e-3)
    np.testing.assert_allclose(value(found, along + beside), value(exact, along) + expected, rtol=1e-3)


def test_along_all_directions_it_is_the_exact_one(at: At, rng):
    exact = exact_quadratic(*at, tokens=3)
    metrics = np.broadcast_to(np.eye(D, dtype=np.float32), (H, W, D, D))
    directions = leading_directions(metrics, rng.standard_normal((1, K, D)).astype(np.float32), H * W * D)
    found = projected_quadratic(*at, directions, at_once=100)
    for _ in range(5):
        move = rng.standard_normal((H * W, D)).astype(np.float32)
        np.testing.assert_allclose(value(found, move), value(exact, move), rtol=1e-3)


def test_damping_adds_the_mean_metric_of_each_token_alone(at: At, rng):
    quadratic = exact_quadratic(*at, tokens=3)
    roots = rng.standard_normal((H * W, D, D)).astype(np.float32)
    metrics = roots @ roots.swapaxes(1, 2)
    move = rng.standard_normal((H * W, D)).astype(np.float32)
    added = value(damp(quadratic, jnp.asarray(metrics), jnp.float32(0.3)), move) - value(quadratic, move)
    np.testing.assert_allclose(added, 0.3 * np.einsum("qi,qij,qj->", move, metrics, move), rtol=1e-3)


def test_a_sketch_has_the_exact_gradient_and_its_mean_over_probes_is_exact(at: At, rng):
    exact, found = exact_quadratic(*at, tokens=3), sketched_quadratic(*at, 4000, jax.random.key(0), at_once=1500)
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-4, atol=1e-5)
    move = rng.standard_normal((H * W, D)).astype(np.float32)
    linear = np.sum(exact.gradient * move)
    np.testing.assert_allclose(value(found, move) - linear, value(exact, move) - linear, rtol=0.1)
    other = sketched_quadratic(*at, 4000, jax.random.key(1), at_once=4000)
    assert (np.asarray(found.factor) != np.asarray(other.factor)).any()


@pytest.mark.parametrize("at_once", [3, 2, 1])
def test_a_sketch_does_not_depend_on_how_many_probes_are_taken_at_once(at_once, at: At):
    """Eleven probes in four parts that are compiled one by one, and in loops with and without a rest."""
    whole, parts = (sketched_quadratic(*at, 11, jax.random.key(0), at_once=many) for many in (11, at_once))
    np.testing.assert_allclose(parts.factor, whole.factor, rtol=1e-5, atol=1e-6)


def test_parts_of_a_sketch_are_bounded_in_what_is_compiled(at: At):
    def operations(at_once):
        return len(
            jax.make_jaxpr(lambda key: sketched_quadratic(*at, 64, key, at_once=at_once))(jax.random.key(0)).eqns
        )

    assert operations(1) <= operations(16)


@pytest.mark.parametrize("limit", [1 << 26, 1])
def test_squares_of_codes_do_not_depend_on_the_memory_that_is_allowed(limit, rng, monkeypatch):
    monkeypatch.setattr("geovq.assignment.quadratic._OUTER", limit)
    roots, codes = rng.standard_normal((3, D, D)), rng.standard_normal((2, K, D)).astype(np.float32)
    metrics = (roots @ roots.swapaxes(1, 2)).astype(np.float32)
    expected = np.einsum("ski,qij,skj->qsk", codes, metrics, codes)
    np.testing.assert_allclose(code_squares(jnp.asarray(metrics), jnp.asarray(codes)), expected, rtol=1e-4)


@pytest.mark.parametrize("probes", [None, 0, 1, 5])
@pytest.mark.parametrize("count", [1, 2])
def test_descent_equals_code_after_code(count, probes, at: At, rng):
    codes = rng.standard_normal((count, K, D)).astype(np.float32)
    metrics = np.broadcast_to(2 * np.eye(D, dtype=np.float32), (H * W, D, D))
    quadratic: LinearisedError
    if probes is None:
        quadratic = exact_quadratic(*at, tokens=3)
    elif probes:  # fewer than channels of a code, and more
        quadratic = sketched_quadratic(*at, probes, jax.random.key(0), at_once=2)
    else:
        directions = leading_directions(metrics.reshape(H, W, D, D), codes, 4)
        quadratic = projected_quadratic(*at, directions, at_once=4)
    quadratic = damp(quadratic, jnp.asarray(metrics), jnp.float32(0.1))
    start = np.zeros((H * W, count), int)

    def error(tokens):
        return value(quadratic, reference.summed_codes(codes, tokens) - np.asarray(quadratic.origin))

    for sweeps in (1, 3):
        found = np.asarray(descend(quadratic, jnp.asarray(codes), jnp.asarray(start), sweeps=sweeps))
        np.testing.assert_array_equal(found, reference.coordinate_descent(error, start, K, sweeps))
    assert error(found) < error(start)
