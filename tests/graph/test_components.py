import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from geovq.graph import components as bridges
from geovq.graph.components import bridge_components
from geovq.graph.csr import MIN_LENGTH, check_graph
from geovq.validation import InputError
from tests import reference
from tests.graph.test_csr import dense, graph_of


def count_components(graph):
    return connected_components(graph, directed=False)[0]


def clusters(rng, sizes, d):
    """Groups of points, far apart from each other beside their own width."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = 20 * rng.normal(size=(len(sizes), d))[labels] + 0.1 * rng.normal(size=(len(labels), d))
    order = rng.permutation(len(labels))
    return points[order], labels[order]


def test_two_pairs_are_bridged_at_their_nearest_ends():
    points = np.array([[0.0], [1.0], [3.0], [4.0]])
    graph = bridge_components(graph_of(4, (0, 1, 1), (2, 3, 1)), points)
    np.testing.assert_array_equal(dense(graph), dense(graph_of(4, (0, 1, 1), (1, 2, 2), (2, 3, 1))))


def test_a_connected_graph_is_left_alone():
    graph = graph_of(3, (0, 1, 5), (1, 2, 6))
    bridged = bridge_components(graph, np.zeros((3, 1)))
    np.testing.assert_array_equal(dense(bridged), dense(graph))


def test_two_equally_short_bridges_between_the_same_components_are_one():
    points = np.array([[0.0, 0], [1, 5], [1, 0], [0, 5], [0, 40], [0, 41], [0, 42]])
    pairs = graph_of(7, (0, 3, 5), (1, 2, 5), (4, 5, 1), (5, 6, 1))  # 0-2 and 1-3 are tied, one found from each side
    bridged = bridge_components(pairs, points)
    assert (bridged.nnz - pairs.nnz) // 2 == 2
    assert count_components(bridged) == 1


def test_copies_in_two_components_are_bridged_at_the_least_length():
    bridged = bridge_components(csr_array((2, 2)), np.zeros((2, 3)))
    np.testing.assert_array_equal(bridged.data, [MIN_LENGTH, MIN_LENGTH])


@pytest.mark.parametrize("small_component", [1, 6, 64])  # all by the tree of the complement, some, none
@pytest.mark.parametrize(("sizes", "d"), [([4] * 12, 2), ([30, 3, 3, 9, 5, 17], 3), ([25, 25], 5), ([1] * 40, 2)])
def test_bridges_are_a_minimum_spanning_set(monkeypatch, sizes, d, small_component):
    monkeypatch.setattr(bridges, "_SMALL_COMPONENT", small_component)
    points, labels = clusters(np.random.default_rng(len(sizes)), sizes, d)
    groups = [np.flatnonzero(labels == label) for label in range(len(sizes))]
    chains = [(a, b, 1.0) for group in groups for a, b in itertools.pairwise(group)]
    graph = graph_of(len(points), *chains) if chains else csr_array((len(points),) * 2)
    bridged = check_graph(bridge_components(graph, points))
    kept, before = dense(bridged), dense(graph)
    np.testing.assert_array_equal(kept[np.isfinite(before)], before[np.isfinite(before)])
    i, j = np.nonzero(np.triu(np.isfinite(kept) & ~np.isfinite(before)))
    truth = sorted((i, j, length) for length, i, j in reference.spanning_bridges(points, labels))
    assert list(zip(i, j, strict=True)) == [(a, b) for a, b, _ in truth]
    np.testing.assert_allclose(kept[i, j], [length for *_, length in truth], rtol=1e-12)
    assert count_components(bridged) == 1


def test_bridging_on_a_lattice_full_of_ties_costs_what_the_truth_costs():
    points = np.stack(np.meshgrid(np.arange(5.0), np.arange(6.0)), -1).reshape(-1, 2)
    bridged = bridge_components(csr_array((30, 30)), points)
    truth = reference.spanning_bridges(points, np.arange(30))
    assert bridged.nnz == 2 * len(truth)
    assert bridged.data.sum() / 2 == sum(length for length, _, _ in truth)
    assert count_components(bridged) == 1


def test_bridging_refuses_another_number_of_points():
    with pytest.raises(InputError, match="each of the 2 nodes, found 3"):
        bridge_components(graph_of(2, (0, 1, 1)), np.zeros((3, 1)))
