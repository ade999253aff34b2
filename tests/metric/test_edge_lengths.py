"""Lengths from cached metrics against closed forms, one quadratic form after the other, and the kernel of one edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.metric.edge_lengths import edge_length, measure_edges
from geovq.validation import InputError
from tests import reference


def random_edges(rng, n=40, d=3, m=100):
    """Latents, metrics of rank d, and edges of which some lead from a node to itself."""
    roots = rng.standard_normal((n, d + 2, d)).astype(np.float32)
    z = rng.standard_normal((n, d)).astype(np.float32)
    return z, np.einsum("npi,npj->nij", roots, roots), rng.integers(0, n, m), rng.integers(0, n, m)


def test_length_of_a_straight_step_under_constant_metric_is_exact():
    z = np.array([[0, 0], [3, 4]], np.float32)
    metrics = np.stack([4 * np.eye(2), 4 * np.eye(2)]).astype(np.float32)
    np.testing.assert_allclose(measure_edges(z, metrics, np.array([0]), np.array([1])), [10], rtol=1e-6)


def test_length_is_the_mean_of_the_lengths_at_either_end(rng):
    z, metrics, senders, receivers = random_edges(rng)
    wanted = []
    for i, j in zip(senders, receivers, strict=True):
        squares = [reference.quadratic_form(z[j] - z[i], metrics[k]) for k in (i, j)]
        wanted.append(np.mean(np.sqrt(squares)))
    found = measure_edges(z, metrics, senders, receivers)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(measure_edges(z, metrics, receivers, senders), found, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_kernel_of_one_edge(dtype, rng):
    z, metrics, senders, receivers = (a.astype(dtype) if a.dtype == np.float32 else a for a in random_edges(rng, d=16))
    with jax.enable_x64(dtype == np.float64):
        steps = jnp.asarray(z[receivers] - z[senders])
        wanted = jax.vmap(edge_length)(steps, jnp.asarray(metrics[senders]), jnp.asarray(metrics[receivers]))
    found = measure_edges(z, metrics, senders, receivers)
    assert found.dtype == wanted.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("chunk", [1, 7, 50, 99])
def test_chunks_change_no_bit(chunk, rng):
    edges = random_edges(rng)
    np.testing.assert_array_equal(measure_edges(*edges, chunk=chunk), measure_edges(*edges))


def test_a_square_just_below_zero_is_no_length():
    metrics = np.stack([-1e-9 * np.eye(2)] * 2).astype(np.float32)
    found = measure_edges(np.eye(2, dtype=np.float32), metrics, np.array([0]), np.array([1]))
    np.testing.assert_array_equal(found, [0])


def test_no_edges_have_no_lengths():
    none = np.zeros(0, int)
    assert measure_edges(np.zeros((2, 3)), np.zeros((2, 3, 3)), none, none).shape == (0,)


def test_edges_that_do_not_fit_are_refused():
    z, metrics = np.zeros((2, 3)), np.zeros((2, 3, 3))
    with pytest.raises(InputError, match=r"one metric per latent"):
        measure_edges(z, metrics[:1], np.array([0]), np.array([1]))
    with pytest.raises(InputError, match=r"0..1, found 2..2"):
        measure_edges(z, metrics, np.array([0]), np.array([2]))
    with pytest.raises(InputError, match=r"0..1, found -1..-1"):
        measure_edges(z, metrics, np.array([-1]), np.array([0]))
    with pytest.raises(InputError, match="equal length"):
        measure_edges(z, metrics, np.array([0, 1]), np.array([1]))
    with pytest.raises(InputError, match=r"expected integers in 0..1, found float64"):
        measure_edges(z, metrics, np.array([0.0]), np.array([1.0]))
    with pytest.raises(InputError, match=r"latents: expected shape \(n, d\)"):
        measure_edges(z[0], metrics, np.array([0]), np.array([1]))
    with pytest.raises(InputError, match="chunk: expected at least 1, found 0"):
        measure_edges(z, metrics, np.array([0]), np.array([1]), chunk=0)
