"""JᵀJ of all tokens with all others: a linear decoder, where it is exact, then finite differences and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.dense import (
    Dense,
    Factor,
    Gram,
    code_squares,
    exact_gram,
    projected_gram,
    sketched_factor,
)
from geovq.assignment.problem import Problem, cost_gradient
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder, as_partial
from tests import reference

H, W, D, K = 1, 3, 2, 4

At = tuple[Decoder, jax.Array]


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
    """Of the squared error."""
    d = grid.shape[-1]
    problem = Problem(as_partial(decode), jnp.zeros((1, K, d)), jnp.zeros((grid.size // d, d, d)))
    return cost_gradient(problem, jnp.asarray(grid), jnp.asarray(image))


@pytest.fixture
def at(decoder, grid):
    """A curved decoder and a grid of latents."""
    return decoder(0.7), jnp.asarray(grid)


def exact(decode, grid, tokens=3):
    """The whole JᵀJ; its coordinates are the latents."""
    return Gram(jnp.broadcast_to(jnp.eye(D), (H * W, D, D)), exact_gram(decode, jnp.asarray(grid), tokens=tokens))


def projected(decode, grid, directions, at_once=100):
    return Gram(jnp.asarray(directions.coordinates), projected_gram(decode, grid, directions, at_once=at_once))


def value(products, move):
    """ΔᵀJᵀJΔ."""
    if isinstance(products, Factor):
        return np.sum(np.einsum("rqi,qi->r", products.factor, move) ** 2)
    y = np.einsum("qri,qi->qr", products.coordinates, move)
    return np.einsum("qi,qirj,rj->", y, products.gram, y)


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_of_a_linear_decoder_it_is_the_error_itself(tokens, decoder, grid, image, rng):
    decode = decoder(0.0)
    products, gradient = exact(decode, grid, tokens), gradient_at(decode, grid, image)
    for _ in range(5):
        move = rng.standard_normal((H * W, D)).astype(np.float32)
        after = np.sum((image - decode(grid + move.reshape(grid.shape))) ** 2)
        before = np.sum((image - decode(grid)) ** 2)
        found = np.sum(gradient * move) + value(products, move)
        np.testing.assert_allclose(found, after - before, rtol=1e-4, atol=1e-4)


def test_gradient_and_gram_equal_finite_differences(x64, decoder, grid, image):
    decode, grid = decoder(0.7), jnp.asarray(grid, float)
    jacobian = reference.jacobian(lambda z: np.ravel(decode(z.reshape(grid.shape))), np.ravel(grid))
    residual = np.ravel(image) - np.ravel(decode(grid))
    np.testing.assert_allclose(exact_gram(decode, grid, tokens=3).reshape(6, 6), jacobian.T @ jacobian, atol=1e-6)
    gradient = gradient_at(decode, grid, image)
    np.testing.assert_allclose(gradient.ravel(), -2 * jacobian.T @ residual, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_along_directions_it_is_exact_and_beside_them_it_is_nothing(at_once, at: At, rng):
    """There the mean metric counts, which the directions keep as their residual."""
    whole = exact(*at)
    roots = rng.standard_normal((H * W, D, D))
    metrics = (roots @ roots.swapaxes(1, 2)).astype(np.float32)
    directions = leading_directions(metrics.reshape(H, W, D, D), rng.standard_normal((1, K, D)).astype(np.float32), 4)
    found = projected(*at, directions, at_once)
    steps = directions.steps.reshape(4, -1, D)
    along = np.einsum("r,rqi->qi", rng.standard_normal(4), steps).astype(np.float32)
    move = rng.standard_normal((H * W, D)).astype(np.float32)
    y = np.einsum("qri,qi->qr", directions.coordinates, move)[directions.tokens, directions.columns]
    beside = move - np.einsum("r,rqi->qi", y, steps)
    np.testing.assert_allclose(value(found, along), value(whole, along), rtol=1e-3)
    np.testing.assert_allclose(value(found, beside), 0, atol=1e-5)
    np.testing.assert_allclose(value(found, along + beside), value(whole, along), rtol=1e-3)
    np.testing.assert_allclose(np.einsum("qi,qij,qj->", along, directions.residual, along), 0, atol=1e-4)
    kept, wanted = (np.einsum("qi,qij,qj->", beside, each, beside) for each in (directions.residual, metrics))
    np.testing.assert_allclose(kept, wanted, rtol=1e-3)


def test_along_all_directions_it_is_the_exact_one(at: At, rng):
    whole = exact(*at)
    metrics = np.broadcast_to(np.eye(D, dtype=np.float32), (H, W, D, D))
    directions = leading_directions(metrics, rng.standard_normal((1, K, D)).astype(np.float32), H * W * D)
    found = projected(*at, directions)
    for _ in range(5):
        move = rng.standard_normal((H * W, D)).astype(np.float32)
        np.testing.assert_allclose(value(found, move), value(whole, move), rtol=1e-3)


def test_the_mean_of_a_sketch_over_probes_is_exact(at: At, rng):
    whole, found = exact(*at), Factor(sketched_factor(*at, 4000, jax.random.key(0), at_once=1500))
    move = rng.standard_normal((H * W, D)).astype(np.float32)
    np.testing.assert_allclose(value(found, move), value(whole, move), rtol=0.1)
    other = sketched_factor(*at, 4000, jax.random.key(1), at_once=4000)
    assert (np.asarray(found.factor) != np.asarray(other)).any()


@pytest.mark.parametrize("at_once", [3, 2, 1])
def test_a_sketch_does_not_depend_on_how_many_probes_are_taken_at_once(at_once, at: At):
    """Eleven probes in four parts that are compiled one by one, and in loops with and without a rest."""
    whole, parts = (sketched_factor(*at, 11, jax.random.key(0), at_once=many) for many in (11, at_once))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_parts_of_a_sketch_are_bounded_in_what_is_compiled(at: At):
    def operations(at_once):
        return len(jax.make_jaxpr(lambda key: sketched_factor(*at, 64, key, at_once=at_once))(jax.random.key(0)).eqns)

    assert operations(1) <= operations(16)


@pytest.mark.parametrize("limit", [1 << 26, 1])
def test_squares_of_codes_do_not_depend_on_the_memory_that_is_allowed(limit, rng, monkeypatch):
    monkeypatch.setattr("geovq.assignment.dense._OUTER", limit)
    roots, codes = rng.standard_normal((3, D, D)), rng.standard_normal((2, K, D)).astype(np.float32)
    metrics = (roots @ roots.swapaxes(1, 2)).astype(np.float32)
    expected = np.einsum("ski,qij,skj->qsk", codes, metrics, codes)
    np.testing.assert_allclose(code_squares(jnp.asarray(metrics), jnp.asarray(codes)), expected, rtol=1e-4)


@pytest.mark.parametrize("probes", [None, 0, 1, 5])
@pytest.mark.parametrize("count", [1, 2])
def test_descent_equals_code_after_code(count, probes, at: At, image, rng):
    codes = rng.standard_normal((count, K, D)).astype(np.float32)
    own = np.broadcast_to(2 * np.eye(D, dtype=np.float32), (H * W, D, D))
    products: Gram | Factor
    if probes is None:
        products = exact(*at)
    elif probes:  # fewer than channels of a code, and more
        products = Factor(sketched_factor(*at, probes, jax.random.key(0), at_once=2))
    else:
        products = projected(*at, leading_directions(own.reshape(H, W, D, D), codes, 4))
    gradient, start = gradient_at(*at, image), np.zeros((H * W, count), int)

    def move(tokens):
        return reference.summed_codes(codes, tokens) - np.asarray(at[1]).reshape(-1, D)

    def error(tokens):
        step = move(tokens)
        return np.sum(gradient * step) + value(products, step) + 0.1 * np.einsum("qi,qij,qj->", step, own, step)

    arrays = (
        gradient,
        jnp.asarray(0.1 * own),
        jnp.asarray(codes),
        jnp.asarray(start),
        jnp.asarray(move(start), "float32"),
    )
    for sweeps in (1, 3):
        found = np.asarray(Dense(products).descend(*arrays, sweeps=sweeps))
        np.testing.assert_array_equal(found, reference.coordinate_descent(error, start, K, sweeps))
    assert error(found) < error(start)
