"""Paths of a graph as polylines: found by hand, and spaced as the slow walk spaces them."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq.graph.paths import node_path, resample
from geovq.validation import InputError
from tests import reference


def test_a_corner_is_passed_at_even_pace():
    points = np.array([[0, 0], [3, 0], [3, 1]], np.float32)
    found = resample(points, 4)
    np.testing.assert_allclose(found, [[0, 0], [1, 0], [2, 0], [3, 0], [3, 1]], atol=1e-6)
    assert found.dtype == np.float32


def test_sides_may_have_other_lengths():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]])
    found = resample(points, 4, lengths=np.array([1.0, 3.0]))
    np.testing.assert_allclose(found, np.array([[0, 0], [3, 0], [3, 1 / 3], [3, 2 / 3], [3, 1]]), atol=1e-12)


@pytest.mark.parametrize("segments", [1, 2, 7, 40])
def test_equals_the_slow_walk(segments):
    rng = np.random.default_rng(0)
    corners, lengths = rng.standard_normal((6, 3)), rng.uniform(0.1, 1, 5)
    wanted = reference.polyline_points(corners, lengths, segments)
    np.testing.assert_allclose(resample(corners, segments, lengths), wanted, atol=1e-12)


def test_ends_are_exact_and_copies_harmless():
    points = np.array([[0.1, 0.2], [0.1, 0.2], [0.7, 0.3]], np.float32)
    found = resample(points, 3)
    np.testing.assert_array_equal(found[[0, -1]], points[[0, -1]])
    np.testing.assert_allclose(np.diff(found, axis=0), np.array([[0.2, 0.1 / 3]] * 3), atol=1e-6)
    np.testing.assert_array_equal(resample(points[:1], 2), points[[0, 0, 0]])
    np.testing.assert_array_equal(resample(points[:2], 2), points[[0, 0, 0]])
    unmeasured = resample(points, 3, lengths=np.zeros(2))
    np.testing.assert_array_equal(unmeasured[[0, -1]], points[[0, -1]])


def test_nodes_of_a_shortest_path():
    lengths = csr_array(np.array([[0, 1, 5, 0], [1, 0, 1, 0], [5, 1, 0, 0], [0, 0, 0, 0]], float))
    _, predecessors = dijkstra(lengths, indices=0, return_predecessors=True)
    assert node_path(predecessors, 0, 2).tolist() == [0, 1, 2]
    assert node_path(predecessors, 0, 0).tolist() == [0]
    with pytest.raises(InputError, match="a path from node 0 to node 3, found none"):
        node_path(predecessors, 0, 3)
    with pytest.raises(InputError, match="found none"):
        node_path(predecessors, 2, 1)


@pytest.mark.parametrize(
    ("points", "segments", "lengths", "message"),
    [
        (np.zeros(3), 2, None, r"points: expected a non-empty array of shape \(n, d\)"),
        (np.full((2, 2), np.nan), 2, None, "points: expected finite"),
        (np.zeros((2, 2)), 0, None, "segments: expected a whole number of at least 1, found 0"),
        (np.zeros((3, 2)), 2, np.ones(3), r"lengths: expected 2 values >= 0, one for each side, found shape \(3,\)"),
        (np.zeros((3, 2)), 2, np.array([1, -1]), "a minimum of -1"),
        (np.zeros((3, 2)), 2, np.array([1, np.nan]), "a minimum of nan"),
    ],
)
def test_bad_input_is_refused(points, segments, lengths, message):
    with pytest.raises(InputError, match=message):
        resample(points, segments, lengths)
