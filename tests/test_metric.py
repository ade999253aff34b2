"""Pullback metrics against central differences, closed forms and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from geovq.autoencoder import single
from geovq.checks import InputError
from geovq.config import VAEConfig
from geovq.metric import edge_lengths, pullback_metric, pullback_metrics, token_metrics
from geovq.vae import SpatialVAE, callables
from tests import reference


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def wave(z):
    """A smooth decoder of one latent (3,) or grid (.., 3) to a (2, 4) picture."""
    mixed = jnp.tanh(z.ravel()[: z.size] @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8)))
    return (mixed**2 + mixed).reshape(2, 4)


def test_linear_decoder_has_the_metric_of_its_matrix_everywhere(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    metrics = pullback_metrics(lambda z: a @ z, rng.standard_normal((4, 3)).astype(np.float32))
    np.testing.assert_allclose(metrics, np.broadcast_to(a.T @ a, (4, 3, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_sphere_in_closed_form():
    def sphere(z):  # polar and azimuthal angle
        return jnp.stack([jnp.sin(z[0]) * jnp.cos(z[1]), jnp.sin(z[0]) * jnp.sin(z[1]), jnp.cos(z[0])])

    metric = pullback_metric(sphere, jnp.array([0.7, 2.0]))
    np.testing.assert_allclose(metric, np.diag([1, np.sin(0.7) ** 2]), atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_equals_central_differences_in_float64(rng):
    z = rng.standard_normal((7, 3))
    wanted = np.stack([reference.metric(wave, point) for point in z])
    np.testing.assert_allclose(pullback_metrics(wave, z, chunk=3), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_tokens_have_the_metric_of_their_own_context(rng):
    grids = rng.standard_normal((3, 2, 1, 3))
    found = token_metrics(wave, grids, chunk=2)
    for n, row in np.ndindex(3, 2):
        wanted = reference.token_metric(wave, grids[n], row, 0)
        np.testing.assert_allclose(found[n, row, 0], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_vae_decoder_equals_central_differences(rng):
    vae = SpatialVAE(VAEConfig((8, 8, 1), (2, 2), latent_dim=3, width=4, max_width=8), jax.random.key(0))
    nnx.update(vae, jax.tree.map(lambda p: p.astype(jnp.float64), nnx.state(vae)))
    decode = single(callables(vae)[1])
    grid = rng.standard_normal((1, 2, 2, 3))
    found = token_metrics(decode, grid)
    wanted = reference.token_metric(decode, grid[0], 1, 0)
    np.testing.assert_allclose(found[0, 1, 0], wanted, rtol=1e-6, atol=1e-9)


def test_float32_is_near_float64(rng):
    z = rng.standard_normal((5, 3))
    single_precision = pullback_metrics(wave, z.astype(np.float32))
    with jax.enable_x64(True):
        double_precision = pullback_metrics(wave, z)
    assert single_precision.dtype == np.float32
    assert double_precision.dtype == np.float64
    np.testing.assert_allclose(single_precision, double_precision, rtol=1e-4, atol=1e-4)


def test_rotating_the_latents_rotates_the_metric(rng):
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q.astype(np.float32)
    z = rng.standard_normal((4, 3)).astype(np.float32)
    rotated = pullback_metrics(lambda y: wave(q.T @ y), z @ q.T)
    np.testing.assert_allclose(rotated, q @ pullback_metrics(wave, z) @ q.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 3, 5, 64, None])
def test_chunks_and_ragged_tails_do_not_matter(chunk, rng):
    z = rng.standard_normal((7, 3)).astype(np.float32)
    whole = pullback_metrics(wave, z, chunk=7)
    np.testing.assert_allclose(pullback_metrics(wave, z, chunk=chunk), whole, rtol=1e-5, atol=1e-6)


def test_one_compilation_for_any_number_of_points_and_any_parameters(rng):
    traces: list[None] = []

    def decode(a, z):
        traces.append(None)
        return a @ z

    for n in (8, 9, 31):
        a = rng.standard_normal((5, 3)).astype(np.float32)
        pullback_metrics(Partial(decode, a), rng.standard_normal((n, 3)).astype(np.float32), chunk=4)
    assert len(traces) == 1


def test_length_of_a_straight_step_under_constant_metric_is_exact():
    z = np.array([[0, 0], [3, 4]], np.float32)
    metrics = np.stack([4 * np.eye(2), 4 * np.eye(2)]).astype(np.float32)
    np.testing.assert_allclose(edge_lengths(z, metrics, np.array([0]), np.array([1])), [10], rtol=1e-6)


def test_length_is_the_mean_of_the_lengths_at_either_end(rng):
    z = rng.standard_normal((4, 3)).astype(np.float32)
    roots = rng.standard_normal((4, 5, 3)).astype(np.float32)
    metrics = np.einsum("npi,npj->nij", roots, roots)
    senders, receivers = np.array([0, 1, 2, 3, 1]), np.array([1, 2, 3, 0, 1])
    wanted = []
    for i, j in zip(senders, receivers, strict=True):
        squares = [reference.quadratic_form(z[j] - z[i], metrics[k]) for k in (i, j)]
        wanted.append(np.mean(np.sqrt(squares)))
    found = edge_lengths(z, metrics, senders, receivers, chunk=2)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(edge_lengths(z, metrics, receivers, senders), found, rtol=1e-6)


def test_no_edges_have_no_lengths():
    none = np.zeros(0, int)
    assert edge_lengths(np.zeros((2, 3)), np.zeros((2, 3, 3)), none, none).shape == (0,)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros(3), r"shape \(n, d\), found shape \(3,\)"),
        (np.zeros((0, 3)), "non-empty"),
        (np.array([[0, np.nan, 0]]), r"1 NaN or infinite entries, the first at \(0, 1\)"),
    ],
)
def test_bad_latents_are_refused(z, message):
    with pytest.raises(InputError, match=message):
        pullback_metrics(wave, z)
    with pytest.raises(InputError, match="grids"):
        token_metrics(wave, np.zeros((3, 3)))


def test_decoder_without_finite_derivative_is_refused():
    with pytest.raises(
        InputError, match=r"finite derivatives, found NaN or infinity at 1 of 2 latents, the first at \(1,\)"
    ):
        pullback_metrics(lambda z: jnp.sqrt(z), np.array([[1.0, 1.0], [0.0, 1.0]], np.float32))


def test_edges_that_do_not_fit_are_refused():
    z, metrics = np.zeros((2, 3)), np.zeros((2, 3, 3))
    with pytest.raises(InputError, match=r"one metric per latent"):
        edge_lengths(z, metrics[:1], np.array([0]), np.array([1]))
    with pytest.raises(InputError, match=r"0..1, found 0..2"):
        edge_lengths(z, metrics, np.array([0]), np.array([2]))
    with pytest.raises(InputError, match="equal length"):
        edge_lengths(z, metrics, np.array([0, 1]), np.array([1]))
    with pytest.raises(InputError, match="chunk"):
        pullback_metrics(wave, np.zeros((2, 3)), chunk=0)
