"""The directions of latents that move the image: duality, order by brute force, and directions that move nothing."""

import numpy as np
import pytest

from geovq.directions import leading_directions

H, W, D = 2, 2, 3


@pytest.fixture
def metrics(rng):
    roots = rng.standard_normal((H, W, D, D)) * np.array([3.0, 1.0, 0.3])
    return (roots @ roots.swapaxes(2, 3)).astype(np.float32)


@pytest.fixture
def stages(rng):
    return (rng.standard_normal((1, 20, D)) * np.array([1.0, 5.0, 0.2])).astype(np.float32)


def strengths(directions, metrics):
    steps = directions.steps
    return np.einsum("rhwi,hwij,rhwj->r", steps, metrics, steps)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_each_dual_sees_its_own_step_alone(count, metrics, stages):
    found = leading_directions(metrics, stages, count)
    assert len(found.steps) == count
    products = np.einsum("rqi,sqi->rs", found.duals, found.steps.reshape(count, -1, D))
    np.testing.assert_allclose(products, np.eye(count), atol=1e-4)
    assert (np.count_nonzero(np.abs(found.steps).sum(axis=-1).reshape(count, -1), axis=1) == 1).all()


def test_they_and_the_rest_add_up_to_the_metrics(metrics, stages):
    for count in (1, 5, 12):
        found = leading_directions(metrics, stages, count)
        sums = np.einsum("r,rqi,rqj->qij", strengths(found, metrics), found.duals, found.duals)
        np.testing.assert_allclose(found.rest + sums, metrics.reshape(-1, D, D), rtol=1e-3, atol=1e-3)
        assert (np.linalg.eigvalsh(found.rest) > -1e-3).all()
    np.testing.assert_allclose(found.rest, 0, atol=1e-3)


def test_no_other_step_between_codes_moves_the_image_more(metrics, stages, rng):
    found = leading_directions(metrics, stages, 12)
    strength = strengths(found, metrics)
    assert (np.diff(strength) <= 1e-4).all()
    root = np.linalg.cholesky(np.cov(stages[0].T, bias=True))
    unit = rng.standard_normal((5000, D))
    steps = unit / np.linalg.norm(unit, axis=1, keepdims=True) @ root.T
    moved = np.einsum("si,hwij,sj->shw", steps, metrics, steps).max()
    assert 0.95 * strength[0] < moved < 1.0001 * strength[0]


def test_directions_that_move_nothing_are_left_out(stages, rng):
    arrow = rng.standard_normal((H, W, D, 1))
    metrics = (arrow @ arrow.swapaxes(2, 3)).astype(np.float32)
    found = leading_directions(metrics, stages, 12)
    assert len(found.steps) == H * W
    np.testing.assert_allclose(found.rest, 0, atol=1e-5)


def test_one_code_and_a_decoder_that_sees_nothing():
    """Where codes do not differ all directions count alike, and where nothing counts one is left."""
    metrics = np.broadcast_to(np.diag([4.0, 1.0, 0.0]).astype(np.float32), (H, W, D, D))
    one = np.ones((1, 1, D), np.float32)
    found = leading_directions(metrics, one, 4)
    np.testing.assert_allclose(np.abs(found.steps).sum(axis=(1, 2)), np.tile([1, 0, 0], (4, 1)), atol=1e-6)
    blind = leading_directions(np.zeros_like(metrics), one, 4)
    assert len(blind.steps) == 1
    assert np.isfinite(blind.duals).all()
