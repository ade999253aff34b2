import unittest.mock

import numpy as np
import pytest
from scipy.sparse import csr_array

from geovq.graph import csr
from geovq.graph.components import bridge_components
from geovq.graph.csr import MIN_LENGTH, knn_graph, reweight
from geovq.medoids import search as module
from geovq.medoids.estimator import GeodesicKMedoids
from geovq.medoids.nearest import nearest_medoid
from geovq.medoids.search import k_medoids
from geovq.validation import InputError
from tests import reference
from tests.graph.test_csr import dense, graph_of
from tests.medoids.test_nearest import PAIRS, PATH, STAR, neighbour_graph, random_graph


def test_the_centre_of_a_star_is_its_medoid():
    found = k_medoids(STAR, 1)
    np.testing.assert_array_equal(found.medoids, [0])
    np.testing.assert_array_equal(found.distances, [0, 1, 2, 3, 4])
    assert (found.cost, found.converged) == (10.0, True)


def test_the_middle_of_a_path_is_its_medoid():
    found = k_medoids(PATH, 1)
    assert (found.medoids.tolist(), found.cost) == ([2], 6.0)


def test_a_weight_moves_the_medoid():
    found = k_medoids(PATH, 1, weights=np.array([9.0, 1, 1, 1, 1]))
    assert (found.medoids.tolist(), found.cost) == ([0], 10.0)


def test_one_node_is_its_own_medoid():
    found = k_medoids(csr_array((1, 1)), 1)
    assert (found.medoids.tolist(), found.labels.tolist(), found.cost, found.converged) == ([0], [0], 0.0, True)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_medoids_as_nodes_cost_nothing(seed):
    found = k_medoids(random_graph(seed, 9), 9, seed=seed)
    assert sorted(found.medoids) == list(range(9))
    assert (found.cost, found.converged) == (0.0, True)


def test_medoids_stay_distinct_where_few_nodes_have_weight():
    found = k_medoids(PATH, 4, weights=np.array([0.0, 0, 1, 0, 0]))
    assert len(set(found.medoids)) == 4
    assert found.cost == 0


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_small_graphs_against_brute_force(seed, k, power):
    graph = random_graph(seed, 9)
    weights = np.random.default_rng(seed + 100).integers(1, 4, size=9).astype(float)
    found = k_medoids(graph, k, weights=weights, power=power, seed=seed)
    distances = reference.shortest_paths(dense(graph))
    cost = reference.medoid_cost(distances, weights, found.medoids, power)
    np.testing.assert_allclose(found.cost, cost, rtol=1e-12)
    np.testing.assert_allclose(found.distances, distances[found.medoids[found.labels], np.arange(9)], rtol=1e-12)
    assert cost >= reference.least_medoid_cost(distances, weights, k, power) * (1 - 1e-12)
    assert found.converged
    others = np.setdiff1d(np.arange(9), found.medoids)
    left = [reference.swap_changes(distances, weights, found.medoids, x, power) for x in others]
    assert np.min(left) >= -1e-9 * cost


def test_some_seed_finds_the_best_medoids():
    graph = random_graph(7, 9)
    distances = reference.shortest_paths(dense(graph))
    least = reference.least_medoid_cost(distances, np.ones(9), 3)
    assert min(k_medoids(graph, 3, seed=seed).cost for seed in range(20)) == pytest.approx(least)


@pytest.mark.parametrize("k", [1, 20])
@pytest.mark.parametrize("max_candidates", [0, 30, "auto", None])
def test_cost_never_rises_and_medoids_stay_distinct(k, max_candidates):
    graph = neighbour_graph(2, 400)
    weights = np.random.default_rng(2).integers(0, 5, size=400).astype(float)
    told = []
    found = k_medoids(
        graph, k, weights=weights, max_candidates=max_candidates, progress=lambda *what: told.append(what)
    )
    phases, _, costs = zip(*told, strict=True)
    assert phases[0] == "seed"
    assert (np.diff(costs) <= 1e-12 * costs[0]).all()
    assert costs[-1] == pytest.approx(found.cost, rel=1e-12)
    assert found.cost < 0.95 * costs[0]
    assert len(set(found.medoids)) == k
    labels, distances = nearest_medoid(graph, found.medoids)
    np.testing.assert_array_equal(labels, found.labels)
    np.testing.assert_array_equal(distances, found.distances)
    assert found.cost == pytest.approx(weights @ distances)


def test_auto_is_256_for_each_medoid_or_what_takes_seconds():
    assert module._auto_candidates(1_000_000, 512) == 256 * 512
    assert module._auto_candidates(1000, 8) == 40_000
    graph = neighbour_graph(5, 1000)
    assert k_medoids(graph, 8).converged


def test_the_result_says_how_it_ended(monkeypatch):
    monkeypatch.setattr(module, "_AT_LEAST", 0)
    graph = neighbour_graph(5, 3000)
    cut, auto, whole = (k_medoids(graph, 4, max_candidates=count) for count in (500, "auto", None))
    assert (cut.n_candidates, cut.converged) == (500, False)
    assert cut.n_rounds >= 1
    assert (auto.n_candidates, auto.converged) == (256 * 4, False)
    assert whole.converged
    assert whole.n_candidates > 3000
    assert whole.n_rounds == 0
    assert whole.cost <= auto.cost <= cut.cost
    late = k_medoids(graph, 4, max_seconds=0)
    assert (late.n_candidates, late.n_rounds, late.converged) == (0, 0, False)
    assert late.cost > whole.cost


def test_the_same_seed_gives_the_same_result():
    graph = neighbour_graph(4, 300)
    first, second, other = (k_medoids(graph, 12, seed=seed, max_candidates=50) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.medoids, second.medoids)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first[3:] == second[3:]
    assert (first.medoids != other.medoids).any()


def test_the_order_of_nodes_does_not_matter():
    graph = neighbour_graph(8, 120)
    order = np.random.default_rng(0).permutation(120)
    permuted = csr_array(graph[order][:, order])
    one, other = k_medoids(graph, 1), k_medoids(permuted, 1)
    assert order[other.medoids[0]] == one.medoids[0]
    assert other.cost == pytest.approx(one.cost)


def test_permuted_nodes_cost_about_the_same():
    graph = neighbour_graph(8, 3000, d=4, k=10)
    order = np.random.default_rng(0).permutation(3000)
    permuted = csr_array(graph[order][:, order])
    one, other = k_medoids(graph, 60), k_medoids(permuted, 60)
    assert other.cost == pytest.approx(one.cost, rel=0.01)
    again = nearest_medoid(permuted, np.argsort(order)[one.medoids])
    np.testing.assert_array_equal(again[1], one.distances[order])


def test_a_weight_is_so_many_copies():
    points = np.random.default_rng(9).normal(size=(40, 2))
    graph = bridge_components(knn_graph(points, 4), points)
    weights = np.ones(40)
    weights[[3, 17]] = 3, 2
    stored = graph.tocoo()
    pairs = [(i, j, v) for i, j, v in zip(stored.row, stored.col, stored.data, strict=True) if i < j]
    twins = graph_of(43, *pairs, (3, 40, MIN_LENGTH), (3, 41, MIN_LENGTH), (17, 42, MIN_LENGTH))
    weighted, copied = k_medoids(graph, 1, weights=weights), k_medoids(twins, 1)
    np.testing.assert_array_equal(weighted.medoids, copied.medoids)
    assert weighted.cost == pytest.approx(copied.cost, rel=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda points, graph: k_medoids(graph, 3),
        lambda points, graph: k_medoids(graph, 3, max_candidates=0),
        lambda points, graph: nearest_medoid(graph, np.arange(3)),
        lambda points, graph: bridge_components(graph, points),
        lambda points, graph: reweight(graph, np.ones(graph.nnz // 2)),
        lambda points, graph: GeodesicKMedoids(3, metric="precomputed").fit(graph),
        lambda points, graph: GeodesicKMedoids(3, metric=identities).fit(points).predict(points),
    ],
)
def test_a_graph_is_checked_once(call, monkeypatch):
    """A check transposes the whole graph, so private functions trust what the public one has checked."""
    points = np.random.default_rng(0).normal(size=(60, 2))
    graph = bridge_components(knn_graph(points, 4), points)
    is_sound = unittest.mock.Mock(wraps=csr._is_sound)
    monkeypatch.setattr(csr, "_is_sound", is_sound)
    call(points, graph)
    is_sound.assert_called_once()


def identities(points: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.eye(points.shape[1]), (len(points), points.shape[1], points.shape[1]))


def test_graphs_with_long_indices():
    graph = neighbour_graph(3, 300)
    long = csr_array((graph.data, graph.indices.astype(np.int64), graph.indptr.astype(np.int64)), shape=graph.shape)
    np.testing.assert_array_equal(k_medoids(long, 7).medoids, k_medoids(graph, 7).medoids)


@pytest.mark.parametrize(
    ("graph", "k", "options", "message"),
    [
        (PATH, 0, {}, r"k: expected a whole number in 1\.\.5, found 0"),
        (PATH, 6, {}, r"k: expected a whole number in 1\.\.5, found 6"),
        (PATH, 2, {"power": 3}, r"power: expected a whole number in 1\.\.2, found 3"),
        (PATH, 2, {"power": 1.5}, r"power: expected a whole number in 1\.\.2, found 1\.5"),
        (PATH, 2, {"power": "2"}, r"power: expected a whole number in 1\.\.2, found '2'"),
        (PATH, 2, {"max_candidates": 2.5}, r"max_candidates: expected a whole number of at least 0, found 2\.5"),
        (PATH, 2, {"max_candidates": -1}, "max_candidates: expected a whole number of at least 0, found -1"),
        (PATH, 2, {"max_candidates": "all"}, "max_candidates: expected a whole number of at least 0, found 'all'"),
        (PATH, 2, {"max_seconds": -1.0}, r"max_seconds: expected a number >= 0, found -1\.0"),
        (PATH, 2, {"max_seconds": np.nan}, "max_seconds: expected a number >= 0, found nan"),
        (PAIRS, 2, {}, "one connected component, found 2, .* bridge_components, .* largest_component"),
        (graph_of(2, (0, 1, np.nan)), 1, {}, "finite lengths"),
        (graph_of(2, (0, 1, -1)), 1, {}, "lengths > 0"),
        (PATH, 2, {"weights": np.ones(4)}, r"weights: expected shape \(5,\), .* found \(4,\)"),
        (PATH, 2, {"weights": np.array([1, 1, np.nan, 1, 1])}, r"weights: .* first at \(2,\)"),
        (PATH, 2, {"weights": np.array([1, 1, -1, 1, 1])}, r"weights: .* found values in \[-1, 1\]"),
        (PATH, 2, {"weights": np.zeros(5)}, "weights: expected values >= 0 and some > 0"),
    ],
)
def test_k_medoids_refuses(graph, k, options, message):
    with pytest.raises(InputError, match=message):
        k_medoids(graph, k, **options)


@pytest.mark.parametrize("exponent", [-43, -300, 40])
def test_the_unit_of_lengths_does_not_matter(exponent, rng):
    points = rng.standard_normal((200, 3))
    points[150:] = points[:50]  # copies, which are no distance apart
    wanted = k_medoids(knn_graph(points, 5), 8)
    found = k_medoids(knn_graph(points * 2.0**exponent, 5), 8)
    np.testing.assert_array_equal(found.medoids, wanted.medoids)
    np.testing.assert_allclose(found.cost, wanted.cost * 2.0**exponent, rtol=1e-6)
