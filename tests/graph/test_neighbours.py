import numpy as np
import pytest

from geovq.graph import neighbours as module
from geovq.graph.csr import check_graph, knn_graph
from geovq.graph.neighbours import nearest_neighbours, nearest_points, recall
from geovq.validation import InputError


def brute_force(points, k):
    lengths = np.linalg.norm(points[:, None].astype(np.float64) - points, axis=2)
    np.fill_diagonal(lengths, np.inf)
    return np.sort(lengths, axis=1)[:, :k]


def test_neighbours_on_a_line():
    found = nearest_neighbours(np.array([[0.0], [1.0], [3.0], [7.0]]), 2)
    np.testing.assert_array_equal(found.nodes, [[1, 2], [0, 2], [1, 0], [2, 1]])
    np.testing.assert_array_equal(found.lengths, [[1, 3], [1, 2], [2, 3], [4, 6]])
    assert (found.method, found.recall) == ("exact", 1.0)


@pytest.mark.parametrize("method", ["exact", pytest.param("descent", marks=pytest.mark.slow)])
def test_both_methods_against_brute_force(method):
    points = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    found = nearest_neighbours(points, 6, method=method)
    assert found.method == method
    assert found.recall >= 0.99
    assert (found.nodes != np.arange(400)[:, None]).all()
    assert all(len(set(row)) == 6 for row in found.nodes)
    truth = brute_force(points, 6)
    assert (found.lengths >= truth * (1 - 1e-6)).all()
    assert np.isclose(found.lengths, truth, rtol=1e-6).mean() >= 0.99
    between = np.linalg.norm(points[found.nodes].astype(np.float64) - points[:, None], axis=2)
    np.testing.assert_allclose(found.lengths, between, rtol=1e-6)
    assert (np.diff(found.lengths, axis=1) >= 0).all()


def test_recall_counts_what_was_found():
    points = np.random.default_rng(1).normal(size=(300, 3))
    truth = brute_force(points, 8)
    assert recall(points, truth) == 1
    half = np.concatenate([truth[:, :4], truth[:, 4:] + 10], axis=1)
    assert recall(points, half) == 0.5


def test_recall_counts_ties():
    lattice = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2)
    assert recall(lattice, np.ones((81, 2))) == 1  # any of the four at length 1 will do


def test_recall_is_measured_on_a_sample(monkeypatch):
    points = np.random.default_rng(1).normal(size=(300, 3))
    lengths = brute_force(points, 4)
    lengths[::2] += 10
    monkeypatch.setattr(module, "RECALL_SAMPLE", 100)
    assert 0.3 < recall(points, lengths, seed=0) < 0.7
    assert recall(points, lengths, seed=0) != recall(points, lengths, seed=1)


@pytest.mark.slow
def test_large_sets_are_searched_by_descent(monkeypatch):
    monkeypatch.setattr(module, "EXACT_BELOW", 200)
    points = np.random.default_rng(2).normal(size=(300, 3))
    assert nearest_neighbours(points[:199], 5).method == "exact"
    assert nearest_neighbours(points, 5).method == "descent"
    assert nearest_neighbours(points, 5, method="exact").method == "exact"


@pytest.mark.slow  # pynndescent compiles for a minute
def test_the_same_seed_finds_the_same():
    points = np.random.default_rng(3).normal(size=(3000, 8)).astype(np.float32)
    first, second = (nearest_neighbours(points, 5, method="descent", seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.nodes, second.nodes)
    assert first.recall == second.recall
    third, fourth = (knn_graph(points, 5, method="descent", seed=7) for _ in range(2))
    np.testing.assert_array_equal(third.indices, fourth.indices)
    np.testing.assert_array_equal(third.data, fourth.data)


@pytest.mark.parametrize("method", ["exact", pytest.param("descent", marks=pytest.mark.slow)])
def test_more_copies_than_neighbours(method):
    points = np.random.default_rng(4).normal(size=(400, 3))
    points[100:200] = points[100]
    found = nearest_neighbours(points, 5, method=method)
    assert (found.nodes != np.arange(400)[:, None]).all()
    assert (found.lengths[100:200] == 0).all()
    graph = check_graph(knn_graph(points, 5, method=method))
    assert (np.diff(graph.indptr) >= 5).all()


def test_a_set_too_small_for_descent_is_searched_exactly():
    points = np.random.default_rng(5).normal(size=(8, 3))
    found = nearest_neighbours(points, 6, method="descent")
    assert found.method == "exact"
    np.testing.assert_allclose(found.lengths, brute_force(points, 6))


def test_queries_do_not_influence_each_other():
    rng = np.random.default_rng(6)
    points, queries = rng.normal(size=(500, 6)), rng.normal(size=(40, 6))
    nodes, lengths = nearest_points(points, queries, 4)
    for row in range(40):
        alone = nearest_points(points, queries[row : row + 1], 4)
        np.testing.assert_array_equal(alone[0][0], nodes[row])
        np.testing.assert_array_equal(alone[1][0], lengths[row])
    between = np.sort(np.linalg.norm(queries[:, None] - points, axis=2), axis=1)[:, :4]
    np.testing.assert_allclose(lengths, between)


@pytest.mark.parametrize(
    ("points", "k", "method", "message"),
    [
        (np.zeros((3, 2)), 0, "auto", r"k: expected a whole number in 1\.\.2, found 0; ask for fewer neighbours"),
        (np.zeros((3, 2)), 2.0, "auto", "k: expected a whole number .* found 2.0"),
        (np.zeros((3, 2)), 3, "auto", "found 3"),
        (np.zeros((1, 2)), 1, "auto", r"in 1\.\.0, found 1; .* give more points"),
        (np.zeros((0, 2)), 1, "auto", "non-empty"),
        (np.zeros(3), 1, "auto", r"shape \(n, d\)"),
        (np.array([[0.0], [np.nan]]), 1, "auto", r"1 NaN or infinite entries, the first at \(1, 0\)"),
        (np.array([[0.0], [1e200], [-1e200]]), 1, "auto", "coordinates too far apart; rescale"),
        (np.zeros((3, 2)), 1, "faiss", "method: expected one of auto, exact, descent, found 'faiss'"),
    ],
)
def test_neighbours_refuse(points, k, method, message):
    with pytest.raises(InputError, match=message):
        nearest_neighbours(points, k, method=method)
