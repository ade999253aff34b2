"""The directions of latents that move the image: duality, order by brute force, and directions that move nothing."""

import numpy as np
import pytest

from geovq.assignment.subspace import leading_directions

H, W, D = 2, 2, 3


@pytest.fixture
def metrics(rng):
    roots = rng.standard_normal((H, W, D, D)) * np.array([3.0, 1.0, 0.3])
    return (roots @ roots.swapaxes(2, 3)).astype(np.float32)


@pytest.fixture
def codes(rng):
    return (rng.standard_normal((1, 20, D)) * np.array([1.0, 5.0, 0.2])).astype(np.float32)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_each_coordinate_sees_its_own_step_alone(count, metrics, codes):
    found = leading_directions(metrics, codes, count)
    steps = found.steps.reshape(count, -1, D)
    seen = np.einsum("qri,sqi->sqr", found.coordinates, steps)[:, found.tokens, found.columns]
    np.testing.assert_allclose(seen, np.eye(count), atol=1e-4)
    assert (np.count_nonzero(np.abs(steps).sum(axis=-1), axis=1) == 1).all()
    assert np.count_nonzero(np.abs(found.coordinates).sum(axis=-1)) == count  # what is beyond is 0


def test_in_coordinates_the_mean_metric_is_the_identity(metrics, codes):
    for count in (1, 5, 12):
        found = leading_directions(metrics, codes, count)
        np.testing.assert_allclose(np.einsum("rhwi,hwij,rhwj->r", found.steps, metrics, found.steps), 1, rtol=1e-4)
        squares = found.coordinates.swapaxes(1, 2) @ found.coordinates
        np.testing.assert_allclose(found.residual + squares, metrics.reshape(-1, D, D), rtol=1e-3, atol=1e-3)
        assert (np.linalg.eigvalsh(found.residual) > -1e-3).all()
    np.testing.assert_allclose(found.residual, 0, atol=1e-3)


def test_no_other_step_between_codes_moves_the_image_more(metrics, codes, rng):
    """A step along the first direction moves the image most of all steps of the length that codes lie apart."""
    found = leading_directions(metrics, codes, 12)
    root = np.linalg.cholesky(np.cov(codes[0].T, bias=True))
    lengths = np.linalg.norm(np.linalg.solve(root, found.steps.reshape(-1, D)[:, :, None]).reshape(12, -1), axis=1)
    strength = 1 / lengths**2  # of a step of length 1
    assert (np.diff(strength) <= 1e-4 * strength[0]).all()
    unit = rng.standard_normal((5000, D))
    steps = unit / np.linalg.norm(unit, axis=1, keepdims=True) @ root.T
    moved = np.einsum("si,hwij,sj->shw", steps, metrics, steps).max()
    assert 0.95 * strength[0] < moved < 1.0001 * strength[0]


def test_directions_that_move_nothing_are_left_out(codes, rng):
    arrow = rng.standard_normal((H, W, D, 1))
    metrics = (arrow @ arrow.swapaxes(2, 3)).astype(np.float32)
    found = leading_directions(metrics, codes, 12)
    assert len(found.steps) == H * W
    np.testing.assert_allclose(found.residual, 0, atol=1e-5)


def test_one_code_and_a_decoder_that_sees_nothing():
    """Where codes do not differ all directions count alike, and where nothing counts one is left."""
    metrics = np.broadcast_to(np.diag([4.0, 1.0, 0.0]).astype(np.float32), (H, W, D, D))
    one = np.ones((1, 1, D), np.float32)
    found = leading_directions(metrics, one, 4)
    np.testing.assert_allclose(np.abs(found.steps).sum(axis=(1, 2)), np.tile([0.5, 0, 0], (4, 1)), atol=1e-6)
    blind = leading_directions(np.zeros_like(metrics), one, 4)
    assert len(blind.steps) == 1
    np.testing.assert_array_equal(blind.coordinates, 0)
    np.testing.assert_allclose(np.linalg.norm(blind.steps), 1)
