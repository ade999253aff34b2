"""Descent on a band: by hand, and equal to a descent of one token after the other on the whole JᵀJ that the band means."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.banded import Banded
from geovq.assignment.quadratic import damp, descend
from geovq.metric.band import independent_sets
from tests import reference


def random_error(rng, shape, radius):
    """A linearised error whose JᵀJ has random blocks, of which neighbours have the same one, and some own costs."""
    h, w, d = shape
    jacobian = rng.standard_normal((2 * h, w, 2, h, w, d))
    band = reference.coloured_band(jacobian, radius, 2 * max(shape) + 1)
    roots = rng.standard_normal((h * w, d, d))
    arrays = rng.standard_normal((h * w, d)), rng.standard_normal((h * w, d)), band, roots @ roots.swapaxes(1, 2)
    return Banded(*(jnp.asarray(array, jnp.float32) for array in arrays))


def value_of(error, codes, code_costs):
    """The function of all tokens that a descent lowers, with the whole JᵀJ."""
    gram, own = reference.dense_of_band(np.float64(error.band)), np.float64(error.own)

    def value(tokens):
        move = reference.summed_codes(codes, tokens) - np.float64(error.origin)
        costs = sum(code_costs[q, s, tokens[q, s]] for q, s in np.ndindex(*tokens.shape))
        flat = move.ravel()
        return np.vdot(error.gradient, move) + flat @ gram @ flat + np.einsum("qi,qij,qj->", move, own, move) + costs

    return value


def test_by_hand():
    """Three tokens in a row, of codes 0 and 1. The two outer ones are apart: both choose at once, and the middle one after."""
    band = np.zeros((1, 3, 9, 1, 1), np.float32)
    band[0, :, 4] = 1
    band[0, :2, 5] = band[0, 1:, 3] = 0.4
    gradient = np.array([[-3.0], [-2.2], [-3.0]], np.float32)  # alone, each would take the code 1
    error = Banded(*map(jnp.asarray, (np.zeros((3, 1), np.float32), gradient, band, np.zeros((3, 1, 1), np.float32))))
    codes, start = jnp.array([[[0.0], [1.0]]]), jnp.zeros((3, 1), int)
    np.testing.assert_array_equal(descend(error, codes, start, sweeps=1), [[1], [0], [1]])
    costs = jnp.zeros((3, 1, 2)).at[0, 0, 1].set(5)  # a code that costs too much at the first token
    np.testing.assert_array_equal(descend(error, codes, start, sweeps=1, code_costs=costs), [[0], [1], [1]])


CASES = [  # grid, radius, codes of a token, whether codes have costs
    ((3, 4, 2), 1, 1, False),
    ((4, 3, 1), 1, 2, True),
    ((2, 5, 2), 2, 1, True),
    ((3, 3, 2), 0, 2, False),
    ((1, 1, 3), 1, 3, True),
    ((2, 3, 2), 4, 1, False),  # beyond the grid: all tokens, one after the other
]


@pytest.mark.parametrize(("shape", "radius", "count", "costly"), CASES)
def test_sets_of_tokens_do_what_one_token_after_the_other_does(shape, radius, count, costly, rng):
    k, t = 4, shape[0] * shape[1]
    plain = random_error(rng, shape, radius)
    error = damp(plain, jnp.ones((t, *shape[2:] * 2)), jnp.float32(0.1))
    codes = rng.standard_normal((count, k, shape[2])).astype(np.float32)
    code_costs = rng.uniform(size=(t, count, k)).astype(np.float32) * 3 * costly
    value, start = value_of(error, codes, code_costs), rng.integers(0, k, (t, count))
    sets = [[q for q in one if q < t] for one in independent_sets(plain.lattice).tolist()]
    places = [(q, s) for one in sets for s in range(count) for q in one]
    costs = jnp.asarray(code_costs) if costly else None
    found = np.asarray(descend(error, jnp.asarray(codes), jnp.asarray(start), sweeps=2, code_costs=costs))
    np.testing.assert_array_equal(found, reference.coordinate_descent(value, start, k, 2, places))
    assert value(found) < value(start)


def test_the_slow_truth_of_a_band_that_reaches_every_token_is_the_whole(rng):
    """A band with a radius that reaches every token is the whole JᵀJ."""
    jacobian = rng.standard_normal((6, 4, 1, 3, 4, 2))
    whole = jacobian.reshape(-1, 24).T @ jacobian.reshape(-1, 24)
    np.testing.assert_allclose(reference.dense_of_band(reference.coloured_band(jacobian, 3, 7)), whole)
    near = reference.dense_of_band(reference.coloured_band(jacobian, 1, 7))
    assert (near == near.T).all()
    np.testing.assert_allclose(near[near != 0], whole[near != 0])


def test_it_is_finite_where_the_band_is(rng):
    error = random_error(rng, (2, 2, 1), 1)
    assert error.is_finite()
    assert not error._replace(band=error.band.at[0, 0, 4].set(jnp.nan)).is_finite()
