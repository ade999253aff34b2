"""Matrix powers against SciPy's, quadratic forms against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from geovq.numerics.linalg import eigen_root, quadratic_form
from tests import reference


def positive(rng: np.random.Generator, d: int) -> np.ndarray:
    factor = rng.standard_normal((d + 3, d))
    return factor.T @ factor


@pytest.mark.parametrize("d", [1, 2, 7])
def test_roots_equal_scipys(d, rng):
    metric = positive(rng, d)
    root = scipy.linalg.sqrtm(metric)
    np.testing.assert_allclose(eigen_root(metric), root, atol=1e-9)
    np.testing.assert_allclose(eigen_root(metric, power=-0.5, floor=1e-12), np.linalg.inv(root), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(eigen_root(metric, power=1), metric, atol=1e-9)


def test_the_root_has_the_dtype_of_the_matrix_and_is_found_in_float64(rng):
    metric = positive(rng, 5)
    single = eigen_root(metric.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, eigen_root(metric.astype(np.float32).astype(np.float64)).astype(np.float32))


def test_directions_that_do_not_count_stay_at_zero_or_count_as_the_floor():
    flat = np.diag([4.0, -1e-9, 0])
    np.testing.assert_allclose(eigen_root(flat), np.diag([2, 0, 0]))
    np.testing.assert_allclose(eigen_root(flat, floor=0.25), np.diag([2, 1, 1]))
    np.testing.assert_allclose(eigen_root(flat, power=-0.5, floor=0.25), np.diag([0.5, 1, 1]))


def test_the_zero_matrix_counts_as_the_identity_where_there_is_a_floor():
    np.testing.assert_array_equal(eigen_root(np.zeros((2, 2))), np.zeros((2, 2)))
    np.testing.assert_array_equal(eigen_root(np.zeros((2, 2)), power=-0.5, floor=1e-5), np.eye(2))


def test_quadratic_forms_by_hand_and_written_out(rng):
    assert quadratic_form(np.array([[1.0, 2.0]]), np.diag([3.0, 5.0])[None]) == [23]
    moves, metrics = rng.standard_normal((2, 6, 4)), np.stack([[positive(rng, 4)] * 6] * 2)
    found = quadratic_form(moves, metrics)
    assert found.shape == (2, 6)
    for index in np.ndindex(2, 6):
        np.testing.assert_allclose(found[index], reference.quadratic_form(moves[index], metrics[index]), rtol=1e-12)


def test_jax_and_numpy_agree_also_compiled_and_differentiated(rng):
    moves, metrics = rng.standard_normal((5, 3)).astype(np.float32), np.stack([positive(rng, 3)] * 5).astype(np.float32)
    single, batched = (
        jax.jit(fn)(jnp.asarray(moves), jnp.asarray(metrics)) for fn in (jax.vmap(quadratic_form), quadratic_form)
    )
    np.testing.assert_allclose(batched, quadratic_form(moves, metrics), rtol=1e-5)
    np.testing.assert_allclose(single, batched, rtol=1e-6)
    gradient = jax.grad(quadratic_form)(jnp.asarray(moves[0]), jnp.asarray(metrics[0]))
    np.testing.assert_allclose(gradient, 2 * metrics[0] @ moves[0], rtol=1e-4)
