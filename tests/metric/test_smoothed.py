"""The metric of a smoothed decoder: the closed form of a sine, the plain mean of a linear decoder, products pair by pair."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.metric.batched import mean_metrics
from geovq.metric.smoothed import cross_products, smoothed_metric
from geovq.validation import InputError
from tests import reference

FREQUENCIES = np.array([[3.0], [0.5]], np.float32)


def waves(grid):
    """Two pixels a token, of which one varies fast with its number and the other slowly; each sees no other token."""
    return jnp.sin(grid @ FREQUENCIES.T)


def test_noise_dampens_a_sine_by_its_frequency(rng):
    """E cos(a(z + ε)) = cos(az)·exp(-a²σ²/2), so the fast pixel's part of the metric vanishes and the slow one's stays."""
    grids, variance = rng.standard_normal((30, 8, 8, 1)).astype(np.float32), 0.4
    found = smoothed_metric(waves, grids, np.array([[variance]]), draws=16, probes=64)[0, 0]
    a = FREQUENCIES[:, 0]
    wanted = sum(float(np.mean((f * np.cos(f * grids)) ** 2) * np.exp(-(f**2) * variance)) for f in a)
    plain = float(sum(np.mean((f * np.cos(f * grids)) ** 2) for f in a))
    assert abs(found / wanted - 1) < 0.15
    assert found < 0.15 * plain


def test_a_linear_decoder_has_its_plain_metric(rng):
    matrix = rng.standard_normal((3, 5)).astype(np.float32)
    grids = rng.standard_normal((4, 3, 2, 3)).astype(np.float32)
    found = smoothed_metric(lambda grid: grid @ matrix, grids, 0.5 * np.eye(3), probes=256)
    np.testing.assert_allclose(found, mean_metrics(lambda grid: grid @ matrix, grids).overall, rtol=0.1, atol=0.2)


def test_without_noise_it_is_the_mean_metric(rng):
    grids = rng.standard_normal((3, 4, 4, 1)).astype(np.float32)
    found = smoothed_metric(waves, grids, np.zeros((1, 1)), probes=512)
    np.testing.assert_allclose(found, mean_metrics(waves, grids).overall, rtol=0.05)


def test_products_pair_by_pair(rng):
    factors = rng.standard_normal((4, 5, 3))
    np.testing.assert_allclose(cross_products(factors), reference.cross_products(factors), rtol=1e-10)


def test_grids_are_independent_and_the_result_is_a_metric(rng):
    grids, noise = rng.standard_normal((3, 2, 2, 2)).astype(np.float32), np.eye(2)
    counts: list[int] = []

    def decode(grid):
        return jnp.sin(3 * grid)

    whole = smoothed_metric(decode, grids, noise, progress=counts.append)
    assert counts == [1, 1, 1]
    np.testing.assert_array_equal(whole, smoothed_metric(decode, grids, noise))
    assert np.linalg.eigvalsh(whole).min() >= -1e-6
    np.testing.assert_allclose(whole, whole.T, rtol=1e-6)


@pytest.mark.parametrize(
    ("covariance", "options", "said"),
    [
        (np.eye(2), {}, r"covariance: expected shape \(1, 1\)"),
        (np.array([[np.nan]]), {}, "covariance"),
        (np.eye(1), {"draws": 1}, "draws: expected a whole number in 2..10000"),
        (np.eye(1), {"probes": 0}, "probes"),
    ],
)
def test_refusals(covariance, options, said):
    with pytest.raises(InputError, match=said):
        smoothed_metric(waves, np.zeros((1, 2, 2, 1), np.float32), covariance, **options)
