"""k-means: clusters by hand, one point, copies, a metric that cannot tell points apart, and compositions of several codes."""

import numpy as np
import pytest

from geovq.numerics.additive import sum_codes
from geovq.numerics.kmeans import kmeans, product_codes, residual_codes

ONE = np.eye(1, dtype=np.float32)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_two_clusters_by_hand():
    codes, labels = kmeans(column(0, 2, 10, 12), 2, root=ONE, seed=0)
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(np.sort(codes.ravel()), [1, 11])
    np.testing.assert_array_equal(codes[labels].ravel(), [1, 1, 11, 11])


def test_as_many_codes_as_points_are_the_points():
    points = column(3, 1, 2)
    codes, labels = kmeans(points, 3, root=ONE, seed=1)
    np.testing.assert_array_equal(codes[labels], points)
    np.testing.assert_array_equal(kmeans(points[:1], 1, root=ONE, seed=0)[0], points[:1])


def test_copies_count_as_often_as_they_occur():
    codes, _ = kmeans(column(0, 0, 0, 4), 1, root=ONE, seed=0)
    np.testing.assert_array_equal(codes, [[1]])


def test_the_root_decides_what_is_near():
    """Four corners of a rectangle: stretched along either axis, the clusters are the pairs across the other."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    for axis, scale in enumerate(([9, 1], [1, 9])):
        codes, _ = kmeans(corners, 2, root=np.diag(scale).astype(np.float32), seed=0)
        np.testing.assert_allclose(np.sort(codes[:, axis]), [0, 1])
        np.testing.assert_allclose(codes[:, 1 - axis], 0.5)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_points_that_the_root_cannot_tell_apart_leave_cells_empty():
    """Their codes are points, not zeros divided by zero."""
    points = np.array([[0, 1], [0, 2], [0, 3]], np.float32)
    codes, labels = kmeans(points, 2, root=np.diag([1, 0]).astype(np.float32), seed=0)
    assert np.isfinite(codes).all()
    assert set(labels) == {0}
    np.testing.assert_array_equal(codes, [[0, 2], [0, 1]])


def test_the_same_seed_gives_the_same_bits(rng):
    points = rng.standard_normal((500, 3)).astype(np.float32)
    first, again = (kmeans(points, 20, root=np.eye(3, dtype=np.float32), seed=4) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_residuals_are_quantized_by_the_next_codes():
    """Two far clusters, each with the same two members: 0 and 10, then -1 and 1."""
    points = column(-1, 1, 9, 11)
    codes = residual_codes(points, 2, 2, root=ONE, seed=0)
    np.testing.assert_array_equal(np.sort(codes[..., 0], axis=1), [[0, 10], [-1, 1]])


@pytest.mark.parametrize("compose", [residual_codes, product_codes])
def test_one_quantizer_is_k_means(compose, rng):
    points = rng.standard_normal((100, 2)).astype(np.float32)
    root = np.eye(2, dtype=np.float32)
    found = compose(points, 5, 1, root=root, seed=0)
    assert found.shape == (1, 5, 2)
    error = ((points[:, None] - found[0]) ** 2).sum(axis=2).min(axis=1).mean()
    wanted = ((points[:, None] - kmeans(points, 5, root=root, seed=0)[0]) ** 2).sum(axis=2).min(axis=1).mean()
    assert error == pytest.approx(wanted, rel=0.2)


def test_a_product_has_a_code_for_every_corner():
    """Two values along each of two axes: four corners, made of two codes and two."""
    corners = np.array([[0, 0], [0, 1], [2, 0], [2, 1]], np.float32)
    codes = product_codes(corners, 2, 2, root=np.eye(2, dtype=np.float32), seed=0)
    made = np.stack([sum_codes(codes, np.array(tokens)) for tokens in np.ndindex(2, 2)])
    np.testing.assert_allclose(made[np.lexsort(made.round(3).T[::-1])], corners, atol=1e-5)
