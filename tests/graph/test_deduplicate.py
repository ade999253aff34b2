import numpy as np
import pytest

from geovq.graph.deduplicate import merge_duplicates


def test_three_copies_weigh_three():
    merged = merge_duplicates(np.array([[1.0, 0.0], [5.0, 5.0], [1.0, -0.0], [0.0, 2.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(merged.points, [[1, 0], [5, 5], [0, 2]])
    np.testing.assert_array_equal(merged.weights, [3, 1, 1])
    np.testing.assert_array_equal(merged.index, [0, 1, 0, 2, 0])
    assert merged.weights.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_merged_points_give_the_input_back(dtype):
    points = np.random.default_rng(0).integers(-1, 2, size=(200, 3)).astype(dtype)
    merged = merge_duplicates(points)
    np.testing.assert_array_equal(merged.points[merged.index], points)
    assert len(merged.points) == len(np.unique(points, axis=0))
    assert merged.points.dtype == dtype
    assert merged.weights.sum() == 200
    first = [int(np.argmax(merged.index == u)) for u in range(len(merged.points))]
    assert first == sorted(first)


def test_columns_in_memory_order_are_merged_by_rows():
    points = np.asfortranarray([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(merge_duplicates(points).weights, [2, 1])
