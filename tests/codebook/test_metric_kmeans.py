"""k-means under each point's own metric: the mean by its formula, an error that never rises, no code without points."""

import numpy as np

from geovq.codebook.metric_kmeans import full_rank, metric_kmeans, metric_means
from tests import reference


def random_metrics(n, d, rng):
    roots = rng.standard_normal((n, d, d))
    return np.einsum("nij,nkj->nik", roots, roots).astype(np.float32)


def test_by_hand():
    """Two points of one cell: the first counts only along x, the second only along y, so each decides its own axis."""
    points = np.array([[1, 5], [7, 2]], np.float32)
    metrics = np.stack([np.diag([1, 1e-7]), np.diag([1e-7, 1])]).astype(np.float32)
    found = metric_means(points, metrics, np.ones(2), np.zeros(2, int), np.zeros((1, 2)))
    np.testing.assert_allclose(found, [[1, 2]], atol=1e-4)


def test_equals_the_slow_truth_and_codes_without_points_stay(rng):
    points, metrics, weights = rng.standard_normal((30, 3)), random_metrics(30, 3, rng), rng.uniform(1, 3, 30)
    labels, codes = rng.integers(3, size=30), rng.standard_normal((4, 3))
    found = metric_means(points.astype(np.float32), metrics, weights, labels, codes)
    for k in range(3):
        of = labels == k
        np.testing.assert_allclose(found[k], reference.metric_mean(points[of], metrics[of], weights[of]), rtol=1e-3)
    np.testing.assert_array_equal(found[3], codes[3])


def test_the_error_never_rises_and_all_codes_are_used(rng):
    points, metrics = rng.standard_normal((300, 3)).astype(np.float32), random_metrics(300, 3, rng)
    start = points[None, :20]
    found = metric_kmeans(points, metrics, np.ones(300), start, mean_metric=metrics.mean(axis=0))
    assert found.converged
    assert all(after <= before * (1 + 1e-6) for before, after in zip(found.errors, found.errors[1:], strict=False))
    assert found.errors[-1] < 0.8 * found.errors[0]
    own = full_rank(metrics, metrics.mean(axis=0))
    tokens = [reference.nearest_under(z, found.codes[0], g) for z, g in zip(points, own, strict=True)]
    assert len(set(tokens)) == 20


def test_codes_that_nobody_uses_come_back(rng):
    points, metrics = rng.standard_normal((100, 2)).astype(np.float32), random_metrics(100, 2, rng)
    start = np.full((1, 10, 2), 50, np.float32) + np.arange(10, dtype=np.float32)[None, :, None]
    codes = metric_kmeans(points, metrics, np.ones(100), start, mean_metric=metrics.mean(axis=0)).codes[0]
    own = full_rank(metrics, metrics.mean(axis=0))
    assert len({reference.nearest_under(z, codes, g) for z, g in zip(points, own, strict=True)}) == 10


def test_directions_that_no_image_depends_on_do_not_run_away(rng):
    points = rng.standard_normal((200, 3)).astype(np.float32)
    metrics = np.broadcast_to(np.diag([1.0, 1.0, 0.0]), (200, 3, 3)).astype(np.float32)
    codes = metric_kmeans(points, metrics, np.ones(200), points[None, :8], mean_metric=metrics[0]).codes
    assert np.abs(codes).max() <= np.abs(points).max()
