"""Pullback metrics against central differences, closed forms and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.metric.batched import mean_metrics, pullback_metrics, sketches, token_metrics
from geovq.models.config import VAEConfig
from geovq.models.spatial_vae import SpatialVAE, callables
from geovq.validation import InputError
from tests import reference


def wave(z):
    """A smooth decoder of one latent (3,) or grid (.., 3) to a (2, 4) picture."""
    mixed = jnp.tanh(z.ravel() @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8)))
    return (mixed**2 + mixed).reshape(2, 4)


def test_linear_decoder_has_the_metric_of_its_matrix_everywhere(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    metrics = pullback_metrics(lambda z: a @ z, rng.standard_normal((4, 3)).astype(np.float32))
    np.testing.assert_allclose(metrics, np.broadcast_to(a.T @ a, (4, 3, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_equals_central_differences_in_float64(rng):
    z = rng.standard_normal((7, 3))
    wanted = np.stack([reference.metric(wave, point) for point in z])
    np.testing.assert_allclose(pullback_metrics(wave, z, plan=Plan(passes=9)), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_tokens_have_the_metric_of_their_own_context(rng):
    grids = rng.standard_normal((3, 2, 1, 3))
    found = token_metrics(wave, grids, plan=Plan(passes=12))
    for n, row in np.ndindex(3, 2):
        wanted = reference.token_metric(wave, grids[n], row, 0)
        np.testing.assert_allclose(found[n, row, 0], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_vae_decoder_equals_central_differences(rng):
    vae = SpatialVAE(VAEConfig((8, 8, 1), (2, 2), latent_dim=3, width=4, max_width=8), rngs=nnx.Rngs(0))
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


@pytest.mark.usefixtures("x64")
def test_rotating_the_latents_rotates_the_metric(rng):
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    z = rng.standard_normal((4, 3))
    rotated = pullback_metrics(lambda y: wave(q.T @ y), z @ q.T)
    np.testing.assert_allclose(rotated, q @ pullback_metrics(wave, z) @ q.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("passes", [1, 9, 15, 192, None])
def test_chunks_and_ragged_tails_do_not_matter(passes, rng):
    z = rng.standard_normal((7, 3)).astype(np.float32)
    whole = pullback_metrics(wave, z, plan=Plan(passes=21))
    np.testing.assert_allclose(pullback_metrics(wave, z, plan=Plan(passes=passes)), whole, rtol=1e-5, atol=1e-6)


def test_memory_does_not_matter(rng):
    grids = rng.standard_normal((5, 2, 1, 3)).astype(np.float32)
    plan = Plan(memory=700)  # for one token's tangents at once, and for two of five probes
    for call in (
        token_metrics,
        functools.partial(token_metrics, probes=5),
        functools.partial(sketches, probes=5),
        lambda *args, **kw: mean_metrics(*args, **kw).by_position,
        lambda *args, **kw: mean_metrics(*args, probes=5, **kw).by_position,
    ):
        done: list[int] = []
        found = call(wave, grids, plan=plan, progress=done.append)
        np.testing.assert_allclose(found, call(wave, grids), rtol=1e-5, atol=1e-6)
        assert sum(done) == 5


def test_few_compilations_for_any_number_of_points_and_any_parameters(rng):
    traces: list[None] = []

    def decode(a, z):
        traces.append(None)
        return a @ z.ravel()

    def metrics_of(n):
        decoder = Partial(decode, rng.standard_normal((5, 6)).astype(np.float32))
        grids = rng.standard_normal((n, 1, 2, 3)).astype(np.float32)
        pullback_metrics(decoder, grids.reshape(n, 6), plan=Plan(passes=24))
        token_metrics(decoder, grids, plan=Plan(passes=24))
        token_metrics(decoder, grids, probes=2, plan=Plan(passes=8))
        mean_metrics(decoder, grids, plan=Plan(passes=24))
        mean_metrics(decoder, grids, probes=2, plan=Plan(passes=8))

    for n in (9, 2, 1):  # chunks of four rows, two, or one
        metrics_of(n)
    traced, compiled = len(traces), []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        for n in (1, 2, 3, 4, 8, 31):
            metrics_of(n)
    finally:
        jax.monitoring.clear_event_listeners()
    assert len(traces) == traced
    assert not compiled


def test_a_sketch_does_not_depend_on_its_batch(rng):
    grids = rng.standard_normal((5, 2, 1, 3)).astype(np.float32)
    whole = token_metrics(wave, grids, probes=3, seed=1)
    np.testing.assert_allclose(token_metrics(wave, grids[3:4], probes=3, seed=1), whole[3:4], rtol=1e-5, atol=1e-6)
    assert not np.allclose(token_metrics(wave, grids, probes=3, seed=2), whole, rtol=0.1)


def test_factors_give_the_sketched_metrics_and_moves_of_all_tokens(rng):
    grids = rng.standard_normal((4, 2, 1, 3)).astype(np.float32)
    factors = sketches(wave, grids, probes=3, seed=1)
    assert factors.shape == (4, 3, 6)
    by_token = factors.reshape(4, 3, 2, 1, 3)
    metrics = np.einsum("nrhwi,nrhwj->nhwij", by_token, by_token)
    np.testing.assert_allclose(token_metrics(wave, grids, probes=3, seed=1), metrics, rtol=1e-5, atol=1e-6)
    move = rng.standard_normal(6).astype(np.float32)
    many = sketches(wave, grids, probes=20000)
    for grid, factor in zip(grids, many, strict=True):
        wanted = reference.jacobian(lambda z: wave(z).ravel(), grid.ravel().astype(float), step=1e-2) @ move
        assert np.linalg.norm(factor @ move) == pytest.approx(np.linalg.norm(wanted), rel=0.03)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("passes", [6, 18, 600])
def test_means_are_those_of_the_metrics(passes, rng):
    grids = rng.standard_normal((7, 2, 1, 3))
    metrics = token_metrics(wave, grids)
    overall, by_position = mean_metrics(wave, grids, plan=Plan(passes=passes))
    np.testing.assert_allclose(by_position, metrics.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(overall, metrics.mean(axis=(0, 1, 2)), rtol=1e-12)


def test_errors_of_sketched_means_average_out(rng):
    """Grids have their own probes: the mean of 400 sketches of 2 probes is ten times nearer than one of them."""
    grids = np.broadcast_to(rng.standard_normal((1, 2, 1, 3)).astype(np.float32), (400, 2, 1, 3))
    exact = mean_metrics(wave, grids[:1]).by_position

    def error(n, seed):
        found = mean_metrics(wave, grids[:n], probes=2, seed=seed).by_position
        return np.linalg.norm(found - exact) / np.linalg.norm(exact)

    assert error(400, 0) < 0.1 * np.mean([error(1, seed) for seed in range(8)])


def test_points_have_sketches_and_means_too(rng):
    z = rng.standard_normal((5, 3)).astype(np.float32)
    factors = sketches(wave, z, probes=4, seed=2)
    assert factors.shape == (5, 4, 3)
    sketched = pullback_metrics(wave, z, probes=4, seed=2)
    np.testing.assert_allclose(sketched, np.einsum("nri,nrj->nij", factors, factors), rtol=1e-5, atol=1e-6)
    overall, by_position = mean_metrics(wave, z)
    np.testing.assert_allclose(overall, pullback_metrics(wave, z).mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(overall, by_position)


def test_a_bad_latent_is_named_before_the_rest_is_computed(rng):
    grids = rng.standard_normal((40, 2, 1, 3)).astype(np.float32)
    grids[17] = 100

    def decode(grid):
        return jnp.where(grid.max() < 50, wave(grid), jnp.nan)

    for function in (token_metrics, mean_metrics):
        done: list[int] = []
        with pytest.raises(InputError, match="found NaN or infinity at latent 17; check the decoder there"):
            function(decode, grids, plan=Plan(passes=12), progress=done.append)
        assert sum(done) < 20


def test_float32_is_near_float64_for_a_vae(rng):
    vae = SpatialVAE(VAEConfig((14, 14, 1), (2, 2), latent_dim=8, width=8), rngs=nnx.Rngs(0))
    grids = rng.standard_normal((2, 2, 2, 8))
    found = token_metrics(single(callables(vae)[1]), grids.astype(np.float32))
    with jax.enable_x64(True):
        nnx.update(vae, jax.tree.map(lambda p: p.astype(jnp.float64), nnx.state(vae)))
        wanted = token_metrics(single(callables(vae)[1]), grids)
    assert wanted.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max(), rtol=0)


def test_integers_are_taken_as_floats():
    metrics = token_metrics(wave, np.ones((1, 1, 1, 3), int))
    np.testing.assert_allclose(metrics, token_metrics(wave, np.ones((1, 1, 1, 3))), rtol=1e-6)


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
    with pytest.raises(InputError, match="finite images and derivatives, found NaN or infinity at latent 1"):
        pullback_metrics(lambda z: jnp.sqrt(z), np.array([[1.0, 1.0], [0.0, 1.0]], np.float32))


def test_plans_and_probes_that_do_nothing_are_refused():
    with pytest.raises(InputError, match="at least 1 pass at once, found 0"):
        pullback_metrics(wave, np.zeros((2, 3)), plan=Plan(passes=0))
    for function in (token_metrics, sketches, mean_metrics):
        with pytest.raises(InputError, match=r"probes: expected a whole number in 1\.\.65536, found 0; take None"):
            function(wave, np.zeros((2, 1, 1, 3)), probes=0)
