import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array

from geovq.graph import csr as graphs
from geovq.graph.csr import (
    MIN_LENGTH,
    check_graph,
    edges,
    knn_graph,
    largest_component,
    reweight,
)
from geovq.validation import InputError
from tests import reference


def graph_of(n, *lengths):
    """Graph of (i, j, length) in both directions."""
    i, j, length = (np.array(column) for column in zip(*lengths, strict=True))
    return csr_array((np.tile(length.astype(float), 2), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))


def dense(graph):
    lengths = np.full(graph.shape, np.inf)
    stored = graph.tocoo()
    lengths[stored.row, stored.col] = stored.data
    return lengths


# neighbours


def test_neighbours_on_a_line():
    graph = knn_graph(np.array([[0.0], [1.0], [3.0], [7.0]]), 1)
    np.testing.assert_array_equal(dense(graph), dense(graph_of(4, (0, 1, 1), (1, 2, 2), (2, 3, 4))))


@pytest.mark.parametrize(("n", "d", "k"), [(2, 1, 1), (30, 2, 1), (60, 3, 5), (40, 8, 39)])
def test_neighbours_equal_brute_force(n, d, k):
    points = np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)
    graph = check_graph(knn_graph(points, k))
    np.testing.assert_allclose(dense(graph), reference.neighbour_lengths(points.astype(np.float64), k), rtol=1e-12)


def test_copies_are_neighbours_at_the_least_length():
    points = np.array([[0.0, 0.0]] * 5 + [[1.0, 0.0], [1.0, 1.0]])
    graph = check_graph(knn_graph(points, 2))
    assert graph.data.min() == pytest.approx(MIN_LENGTH * graph.data.max())
    assert (np.diff(graph.indptr) >= 2).all()
    assert (graph.data[graph.data > 2 * graph.data.min()] >= 1).all()


def test_a_tie_is_broken_the_same_way_every_time():
    points = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(-1, 2)
    first, second = knn_graph(points, 3), knn_graph(points.copy(), 3)
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.data, second.data)


@pytest.mark.parametrize(
    ("points", "k", "message"),
    [
        (np.zeros((3, 2)), 0, r"k: expected a whole number in 1\.\.2, found 0; ask for fewer neighbours"),
        (np.zeros((3, 2)), 3, "found 3"),
        (np.zeros((1, 2)), 1, r"in 1\.\.0, found 1; .* give more points"),
        (np.zeros((0, 2)), 1, "non-empty"),
        (np.zeros(3), 1, r"shape \(n, d\)"),
        (np.array([[0.0], [np.nan]]), 1, r"1 NaN or infinite entries, the first at \(1, 0\)"),
    ],
)
def test_neighbours_refuse(points, k, message):
    with pytest.raises(InputError, match=message):
        knn_graph(points, k)


def test_of_two_directions_the_shorter_counts():
    graph = graphs.join(3, np.array([0, 1, 2]), np.array([1, 0, 1]), np.array([2.0, 0.0, 3.0]))
    np.testing.assert_array_equal(dense(graph), dense(graph_of(3, (0, 1, 3 * MIN_LENGTH), (1, 2, 3))))


# components


def test_largest_component():
    graph = graph_of(7, (0, 6, 1), (1, 3, 1), (3, 5, 1))
    np.testing.assert_array_equal(largest_component(graph), [1, 3, 5])


def test_of_equal_components_the_first_is_largest():
    np.testing.assert_array_equal(largest_component(graph_of(5, (1, 4, 1), (2, 3, 1))), [1, 4])


# edges


def test_edges_come_once_in_order():
    senders, receivers = edges(graph_of(4, (2, 3, 1), (3, 0, 2), (0, 1, 3)))
    np.testing.assert_array_equal(senders, [0, 0, 2])
    np.testing.assert_array_equal(receivers, [1, 3, 3])


def test_reweighting_gives_every_edge_its_length():
    graph = graph_of(4, (2, 3, 1), (3, 0, 2), (0, 1, 3))
    again = check_graph(reweight(graph, np.array([10.0, 0.0, 30.0])))
    np.testing.assert_array_equal(dense(again), dense(graph_of(4, (0, 1, 10), (0, 3, 30 * MIN_LENGTH), (2, 3, 30))))
    assert graph.data.max() == 3


def test_reweighting_by_its_own_lengths_changes_nothing():
    points = np.random.default_rng(3).normal(size=(50, 3))
    graph = knn_graph(points, 4)
    senders, receivers = edges(graph)
    again = reweight(graph, graph[senders, receivers])
    np.testing.assert_array_equal(again.indices, graph.indices)
    np.testing.assert_array_equal(again.data, graph.data)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1.0], r"shape \(2,\), one for each edge, found \(1,\)"),
        ([1.0, np.nan], r"lengths: .*first at \(1,\)"),
        ([np.inf, 1.0], r"lengths: .*first at \(0,\)"),
        ([1.0, -2.0], "found -2 for edge 1, from node 1 to 2"),
    ],
)
def test_reweighting_refuses(lengths, message):
    with pytest.raises(InputError, match=message):
        reweight(graph_of(3, (0, 1, 1), (1, 2, 1)), np.array(lengths))


# the door


def test_the_door_sorts_a_copy():
    unsorted = csr_array((np.array([2, 1, 1, 2]), np.array([2, 1, 0, 0]), np.array([0, 2, 3, 4])), shape=(3, 3))
    graph = check_graph(unsorted)
    np.testing.assert_array_equal(graph.indices, [1, 2, 0, 0])
    np.testing.assert_array_equal(graph.data, [1.0, 2.0, 1.0, 2.0])
    np.testing.assert_array_equal(unsorted.indices, [2, 1, 0, 0])


def test_the_door_takes_other_sparse_formats():
    graph = check_graph(graph_of(3, (0, 1, 1), (1, 2, 2)).tocoo())
    assert isinstance(graph, csr_array)
    assert graph.nnz == 4


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.zeros((2, 2)), "expected a scipy.sparse array .*, found ndarray"),
        (csr_array((2, 3)), r"found \(2, 3\)"),
        (coo_array(np.ones(3)), r"found \(3,\)"),
        (csr_array((0, 0)), r"found \(0, 0\)"),
        (graph_of(3, (0, 1, 1), (1, 2, np.nan)), "finite lengths, found 2 bad entries, .* from node 1 to node 2"),
        (graph_of(3, (0, 1, np.inf)), "finite lengths"),
        (graph_of(3, (0, 1, 0)), "lengths > 0, found 2 .* of length 0 from node 0 to node 1"),
        (graph_of(3, (0, 1, 1), (1, 2, -1)), "lengths > 0, found 2 .* of length -1 from node 1 to node 2"),
        (csr_array(np.diag([1.0, 0.0])), "no edge from a node to itself, .* from node 0 to node 0"),
        (csr_array((np.ones(3), [1, 1, 0], [0, 2, 3]), shape=(2, 2)), "stored once"),
        (csr_array([[0.0, 1.0], [0.0, 0.0]]), "found 1 from node 0 to node 1 and 0 back"),
        (csr_array([[0.0, 1.0], [2.0, 0.0]]), "found 1 from node 0 to node 1 and 2 back"),
    ],
)
def test_the_door_refuses(graph, message):
    with pytest.raises(InputError, match=message):
        check_graph(graph)
