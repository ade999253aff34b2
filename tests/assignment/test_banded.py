"""Descent on a band: by hand, and equal to a descent of one token after the other on the whole JᵀJ that the band means."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.banded import Banded
from geovq.metric.band import independent_sets
from tests import reference


class Case(NamedTuple):
    """A band, and what a descent on it is told beside."""

    banded: Banded
    origin: jax.Array
    gradient: jax.Array
    own: jax.Array


def random_case(rng, shape, radius):
    """A band of random blocks, of which neighbours have the same one, and some own costs."""
    h, w, d = shape
    jacobian = rng.standard_normal((2 * h, w, 2, h, w, d))
    band = reference.coloured_band(jacobian, radius, 2 * max(shape) + 1)
    roots = rng.standard_normal((h * w, d, d))
    own = roots @ roots.swapaxes(1, 2) + 0.1
    arrays = band, rng.standard_normal((h * w, d)), rng.standard_normal((h * w, d)), own
    band, *others = (jnp.asarray(array, jnp.float32) for array in arrays)
    return Case(Banded(band), *others)


def descend(case, codes, start, sweeps, code_costs=None):
    codes, start = jnp.asarray(codes), jnp.asarray(start)
    move = jnp.asarray(reference.summed_codes(codes, np.asarray(start)), jnp.float32) - case.origin
    found = case.banded.descend(case.gradient, case.own, codes, start, move, sweeps=sweeps, code_costs=code_costs)
    return np.asarray(found)


def value_of(case, codes, code_costs):
    """The function of all tokens that a descent lowers, with the whole JᵀJ."""
    gram, own = reference.dense_of_band(np.float64(case.banded.band)), np.float64(case.own)

    def value(tokens):
        move = reference.summed_codes(codes, tokens) - np.float64(case.origin)
        costs = sum(code_costs[q, s, tokens[q, s]] for q, s in np.ndindex(*tokens.shape))
        flat = move.ravel()
        return np.vdot(case.gradient, move) + flat @ gram @ flat + np.einsum("qi,qij,qj->", move, own, move) + costs

    return value


def test_by_hand():
    """Three tokens in a row, of codes 0 and 1. The two outer ones are apart: both choose at once, and the middle one after."""
    band = np.zeros((1, 3, 9, 1, 1), np.float32)
    band[0, :, 4] = 1
    band[0, :2, 5] = band[0, 1:, 3] = 0.4
    gradient = jnp.array([[-3.0], [-2.2], [-3.0]])  # alone, each would take the code 1
    case = Case(Banded(jnp.asarray(band)), jnp.zeros((3, 1)), gradient, jnp.zeros((3, 1, 1)))
    codes, start = np.array([[[0.0], [1.0]]], np.float32), np.zeros((3, 1), int)
    np.testing.assert_array_equal(descend(case, codes, start, 1), [[1], [0], [1]])
    costs = jnp.zeros((3, 1, 2)).at[0, 0, 1].set(5)  # a code that costs too much at the first token
    np.testing.assert_array_equal(descend(case, codes, start, 1, costs), [[0], [1], [1]])


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
    case = random_case(rng, shape, radius)
    codes = rng.standard_normal((count, k, shape[2])).astype(np.float32)
    code_costs = rng.uniform(size=(t, count, k)).astype(np.float32) * 3 * costly
    value, start = value_of(case, codes, code_costs), rng.integers(0, k, (t, count))
    sets = [[q for q in one if q < t] for one in independent_sets(case.banded.lattice).tolist()]
    places = [(q, s) for one in sets for s in range(count) for q in one]
    found = descend(case, codes, start, 2, jnp.asarray(code_costs) if costly else None)
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
