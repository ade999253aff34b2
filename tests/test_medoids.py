import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq import medoids as module
from geovq.checks import InputError
from geovq.graph import MIN_LENGTH, bridge_components, knn_graph
from geovq.medoids import k_medoids, nearest_medoid
from tests import reference
from tests.test_graph import dense, graph_of

PATH = graph_of(5, (0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1))
STAR = graph_of(5, (0, 1, 1), (0, 2, 2), (0, 3, 3), (0, 4, 4))
PAIRS = graph_of(4, (0, 1, 1), (2, 3, 1))


def random_graph(seed, n, extra=4):
    """Connected: a random tree and a few more edges, lengths in [0.1, 1)."""
    rng = np.random.default_rng(seed)
    pairs = {(int(rng.integers(i)), i) for i in range(1, n)}
    for _ in range(extra):
        i, j = rng.choice(n, 2, replace=False)
        pairs.add((int(min(i, j)), int(max(i, j))))
    return graph_of(n, *((i, j, rng.uniform(0.1, 1)) for i, j in sorted(pairs)))


def neighbour_graph(seed, n, d=2, k=5):
    points = np.random.default_rng(seed).normal(size=(n, d))
    return bridge_components(knn_graph(points, k), points)


# assignment


def test_a_path_is_split_between_its_ends():
    labels, distances = nearest_medoid(PATH, np.array([4, 0]))
    np.testing.assert_array_equal(labels[[0, 1, 3, 4]], [1, 1, 0, 0])
    np.testing.assert_array_equal(distances, [0, 1, 2, 1, 0])
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(nearest_medoid(PATH, np.array([4, 0]))[0], labels)


def test_nodes_without_a_path_are_refused_or_marked():
    with pytest.raises(InputError, match="found 2 nodes without one, the first 2"):
        nearest_medoid(PAIRS, np.array([0]))
    labels, distances = nearest_medoid(PAIRS, np.array([0]), allow_unreachable=True)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(distances, [0, 1, np.inf, np.inf])


def test_nearest_equals_full_rows():
    graph = neighbour_graph(0, 300)
    medoids = np.random.default_rng(1).choice(300, 20, replace=False)
    labels, distances = nearest_medoid(graph, medoids)
    rows = dijkstra(graph, indices=medoids)
    np.testing.assert_array_equal(distances, rows.min(axis=0))
    np.testing.assert_array_equal(rows[labels, np.arange(300)], distances)
    np.testing.assert_array_equal(labels[medoids], np.arange(20))
    assert (distances[medoids] == 0).all()


def test_medoids_at_the_least_length_keep_their_own_labels():
    graph = graph_of(3, (0, 1, MIN_LENGTH), (1, 2, MIN_LENGTH), (0, 2, MIN_LENGTH))
    labels, distances = nearest_medoid(graph, np.array([2, 0, 1]))
    np.testing.assert_array_equal(labels, [1, 2, 0])
    np.testing.assert_array_equal(distances, 0)


@pytest.mark.parametrize("medoids", [[], [0.0], [[0]], [-1], [5], [1, 1]])
def test_assignment_refuses_medoids(medoids):
    with pytest.raises(InputError, match="medoids: expected"):
        nearest_medoid(PATH, np.array(medoids))


# k-medoids


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


@pytest.mark.parametrize("seed", range(5))
def test_a_tie_keeps_the_current_medoid(seed):
    ring = graph_of(6, *((i, (i + 1) % 6, 0.1) for i in range(6)))
    found = k_medoids(ring, 1, seed=seed)
    assert (found.n_iter, found.converged) == (1, True)


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


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_small_graphs_against_brute_force(seed, k):
    graph = random_graph(seed, 9)
    weights = np.random.default_rng(seed + 100).integers(1, 4, size=9).astype(float)
    found = k_medoids(graph, k, weights=weights, seed=seed)
    distances = reference.shortest_paths(dense(graph))
    np.testing.assert_allclose(found.cost, reference.medoid_cost(distances, weights, found.medoids), rtol=1e-12)
    np.testing.assert_allclose(found.distances, distances[found.medoids[found.labels], np.arange(9)], rtol=1e-12)
    least = reference.least_medoid_cost(distances, weights, k)
    assert found.cost >= least * (1 - 1e-12)
    if k == 1:  # the only cell is the graph, so the update is exact
        np.testing.assert_allclose(found.cost, least, rtol=1e-12)
    assert found.converged
    assert_no_cell_can_do_better(dense(graph), weights, found)


def test_no_cell_can_do_better_after_many_updates():
    graph = neighbour_graph(11, 250)
    found = k_medoids(graph, 15)
    assert found.n_iter > 3
    assert_no_cell_can_do_better(dense(graph), np.ones(250), found)


def assert_no_cell_can_do_better(lengths, weights, found):
    for cell, medoid in enumerate(found.medoids):
        members = np.flatnonzero(found.labels == cell)
        inside = reference.shortest_paths(lengths[np.ix_(members, members)])
        sums = inside @ weights[members]
        assert sums[members.tolist().index(medoid)] <= sums.min() * (1 + 1e-9)


def test_some_seed_finds_the_best_medoids():
    graph = random_graph(7, 9)
    distances = reference.shortest_paths(dense(graph))
    least = reference.least_medoid_cost(distances, np.ones(9), 3)
    assert min(k_medoids(graph, 3, seed=seed).cost for seed in range(20)) == pytest.approx(least)


@pytest.mark.parametrize("exact_cell", [1, 4, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_cost_never_rises_and_medoids_stay_distinct(seed, exact_cell):
    graph = neighbour_graph(seed, 400)
    weights = np.random.default_rng(seed).integers(0, 5, size=400).astype(float)
    costs = []
    found = k_medoids(
        graph, 20, weights=weights, seed=seed, exact_cell=exact_cell, progress=lambda i, cost: costs.append((i, cost))
    )
    assert [i for i, _ in costs] == list(range(found.n_iter + 1))
    assert (np.diff([cost for _, cost in costs]) <= 0).all()
    assert costs[-1][1] == found.cost
    assert len(set(found.medoids)) == 20
    assert found.converged
    labels, distances = nearest_medoid(graph, found.medoids)
    np.testing.assert_array_equal(labels, found.labels)
    np.testing.assert_array_equal(distances, found.distances)


def test_iterating_lowers_the_cost_and_stops_where_told():
    graph = neighbour_graph(5, 400)
    once, whole = k_medoids(graph, 10, max_iter=1), k_medoids(graph, 10)
    assert (once.n_iter, once.converged) == (1, False)
    assert whole.n_iter > 1
    assert whole.cost < once.cost


def test_a_sampled_cell_goes_on_while_samples_find_better():
    path = graph_of(200, *((i, i + 1, 1.0) for i in range(199)))
    costs = []
    found = k_medoids(path, 1, exact_cell=20, progress=lambda i, cost: costs.append(cost))
    assert found.converged
    assert found.n_iter > 2
    assert found.cost < 1.01 * k_medoids(path, 1).cost


def test_candidates_in_small_chunks_give_the_same(monkeypatch):
    graph = neighbour_graph(2, 300)
    whole = k_medoids(graph, 5)
    monkeypatch.setattr(module, "_MAX_DISTANCES", 200)
    np.testing.assert_array_equal(k_medoids(graph, 5).medoids, whole.medoids)


def test_the_same_seed_gives_the_same_result():
    graph = neighbour_graph(4, 300)
    first, second = (k_medoids(graph, 12, seed=3, exact_cell=10) for _ in range(2))
    np.testing.assert_array_equal(first.medoids, second.medoids)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.cost, first.n_iter) == (second.cost, second.n_iter)


def test_seeding_keeps_the_distances_of_a_full_search():
    graph = neighbour_graph(6, 300, k=4)
    medoids = np.random.default_rng(0).choice(300, 12, replace=False)
    _, distances = nearest_medoid(graph, medoids[:1])
    for place in range(1, 12):
        module._shorten(graph, distances, medoids[place])
        np.testing.assert_array_equal(distances, nearest_medoid(graph, medoids[: place + 1])[1])


def test_the_order_of_nodes_does_not_matter():
    graph = neighbour_graph(8, 120)
    order = np.random.default_rng(0).permutation(120)
    permuted = csr_array(graph[order][:, order])
    one, other = k_medoids(graph, 1), k_medoids(permuted, 1)
    assert order[other.medoids[0]] == one.medoids[0]
    assert other.cost == pytest.approx(one.cost)
    medoids = np.array([3, 50, 99])
    labels, distances = nearest_medoid(graph, medoids)
    again = nearest_medoid(permuted, np.argsort(order)[medoids])
    np.testing.assert_array_equal(again[0], labels[order])
    np.testing.assert_array_equal(again[1], distances[order])


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
    ("graph", "k", "options", "message"),
    [
        (PATH, 0, {}, r"k: expected in 1\.\.5, found 0"),
        (PATH, 6, {}, r"k: expected in 1\.\.5, found 6"),
        (PATH, 2, {"max_iter": 0}, "max_iter: expected >= 1"),
        (PATH, 2, {"exact_cell": 0}, "exact_cell: expected >= 1"),
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
