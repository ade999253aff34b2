import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from geovq.medoids import kernels as searches
from geovq.medoids import swap
from geovq.medoids.cost import Objective, with_exact_sums
from geovq.medoids.nearest import arcs, nearest
from geovq.medoids.search import k_medoids
from geovq.medoids.swap import swap_search
from tests import reference
from tests.graph.test_csr import graph_of
from tests.medoids.test_nearest import PATH, neighbour_graph, random_graph


def uneven_lattice(width, height, lengths):
    """A lattice whose lengths nearly tie when they are added up."""
    node = np.arange(width * height).reshape(height, width)
    across = zip(node[:, :-1].ravel(), node[:, 1:].ravel(), strict=True)
    down = zip(node[:-1].ravel(), node[1:].ravel(), strict=True)
    pairs = [*across, *down]
    return graph_of(node.size, *((i, j, lengths[e % len(lengths)]) for e, (i, j) in enumerate(pairs)))


def known(objective, medoids) -> tuple[searches.Arcs, searches.Cost, searches.State]:
    """What a search knows: the graph, the cost, the state of the medoids."""
    n = objective.graph.shape[0]
    state = searches.new_state(n, np.asarray(medoids))
    given = arcs(objective.graph), searches.Cost(objective.weights, objective.power), state
    searches.two_nearest(*given, searches.new_work(n, len(medoids)))
    return given


def searched(objective, medoids, *, seed=0, max_candidates=None, ends=np.inf, progress=lambda done, cost: None):
    return swap_search(objective, np.asarray(medoids), np.random.default_rng(seed), max_candidates, ends, progress)


def tied_graph(seed, n):
    """Lengths of 1 and 2 alone: full of ties."""
    graph = random_graph(seed, n, extra=n)
    stored = graph.tocoo()
    lengths = 1.0 + (stored.row + stored.col) % 2
    return graph_of(n, *((i, j, v) for i, j, v in zip(stored.row, stored.col, lengths, strict=True) if i < j))


def assert_state_is_true(state, rows, weights, power):
    """Nearest two medoids by (distance, node), and losses, from full rows (n, n)."""
    n, medoids = len(rows), state.medoids
    for u in range(n):
        (first, a), (second, b) = sorted((rows[m, u], m) for m in medoids)[:2]
        assert tuple(state.near[u]) == (a, b)
        np.testing.assert_allclose(state.reach[u], [first, second], rtol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(state.label >= 0), np.sort(medoids))
    np.testing.assert_array_equal(state.label[medoids], np.arange(len(medoids)))
    before = reference.medoid_cost(rows, weights, medoids, power)
    without = [reference.medoid_cost(rows, weights, np.delete(medoids, p), power) for p in range(len(medoids))]
    np.testing.assert_allclose(state.loss, [*(np.array(without) - before), 0], rtol=1e-9, atol=1e-9)


def test_the_nearest_two_on_a_path():
    state = known(Objective(PATH, np.ones(5), 1), [3, 0])[2]
    np.testing.assert_array_equal(state.near, [[0, 3], [0, 3], [3, 0], [3, 0], [3, 0]])
    np.testing.assert_array_equal(state.reach, [[0, 3], [1, 2], [1, 2], [0, 3], [1, 4]])
    np.testing.assert_array_equal(state.loss, [1 + 3 + 3, 3 + 1, 0])


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("graph", [random_graph(3, 25), tied_graph(4, 25), neighbour_graph(5, 40)])
def test_gains_by_truncation_equal_gains_from_full_rows(graph, power):
    n = graph.shape[0]
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, size=n).astype(float)
    medoids = rng.choice(n, 6, replace=False)
    given, rows = known(Objective(graph, weights, power), medoids), dijkstra(graph)
    change, leaving, space = np.empty(n), np.empty(n, np.int32), searches.new_work(n, 6)
    searches.gains(*given, np.arange(n), change, leaving, space)
    for x in range(n):
        if x in medoids:
            assert (change[x], leaving[x]) == (0, -1)
            continue
        truth = reference.swap_changes(rows, weights, medoids, x, power)
        assert change[x] == pytest.approx(min(truth), rel=1e-9, abs=1e-9)
        assert truth[leaving[x]] == pytest.approx(min(truth), rel=1e-9, abs=1e-9)
    assert np.isinf(space.distance).all()
    assert (space.slot == -1).all()
    assert (space.change == 0).all()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("k", [2, 3, 8])
@pytest.mark.parametrize("graph", [random_graph(1, 25), tied_graph(2, 25), neighbour_graph(3, 30)])
def test_a_mended_state_is_the_state_from_nothing(graph, k, power):
    n = graph.shape[0]
    rng = np.random.default_rng(k)
    weights = rng.uniform(0.5, 2, size=n)
    given, rows = known(Objective(graph, weights, power), rng.choice(n, k, replace=False)), dijkstra(graph)
    state, space = given[2], searches.new_work(n, k)
    assert_state_is_true(state, rows, weights, power)
    for _ in range(30):
        x = rng.choice(np.setdiff1d(np.arange(n), state.medoids))
        searches.swap(*given, rng.integers(k), x, space)
        assert_state_is_true(state, rows, weights, power)


def test_a_medoid_leaves_no_trace_where_sums_nearly_tie():
    """To node 2 the new medoid is nearer by one rounding, to node 3 behind it by none."""
    graph = graph_of(6, (0, 1, 0.1), (1, 2, 0.2), (2, 3, 1), (4, 2, 0.3), (5, 2, 0.05))
    given = known(Objective(with_exact_sums(graph), np.ones(6), 1), [5, 0])
    searches.swap(*given, 1, 4, searches.new_work(6, 2))
    assert set(given[2].near.ravel()) == {4, 5}


@pytest.mark.parametrize("lengths", [(1.0, np.sqrt(2)), (0.1, 0.2, 0.3), (1e-12, 1e5, 0.1)])
def test_mended_states_where_sums_nearly_tie(lengths):
    graph = with_exact_sums(uneven_lattice(6, 7, lengths))
    rows, weights, rng = dijkstra(graph), np.ones(42), np.random.default_rng(0)
    given, space = known(Objective(graph, weights, 1), rng.choice(42, 5, replace=False)), searches.new_work(42, 5)
    for _ in range(100):
        x = rng.choice(np.setdiff1d(np.arange(42), given[2].medoids))
        searches.swap(*given, rng.integers(5), x, space)
        searches.recount(*given[1:])
        assert_state_is_true(given[2], rows, weights, 1)


@pytest.mark.parametrize("power", [1, 2])
def test_clusters_far_apart_come_to_an_end(power):
    """Losses are a billion times the cost, so their rounding is larger than many gains."""
    left, right = uneven_lattice(9, 9, (0.1,)).tocoo(), 81
    pairs = [(i, j, v) for i, j, v in zip(left.row, left.col, left.data, strict=True) if i < j]
    twice = graph_of(162, *pairs, *((i + right, j + right, v) for i, j, v in pairs), (80, right, 1e6))
    objective = Objective(with_exact_sums(twice), np.ones(162), power)
    found = searched(objective, [3, right + 3])
    assert found.converged
    assert objective.cost(nearest(twice, found.medoids)[1]) <= objective.cost(
        nearest(twice, np.array([3, right + 3]))[1]
    )
    if power == 1:  # squares of what the losses are leave no digit of what a swap gains
        assert sorted(found.medoids) == [40, right + 40]


@pytest.mark.parametrize("seed", range(200))
def test_no_single_swap_is_left_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 13))
    k, power = int(rng.integers(2, min(n, 6))), int(rng.integers(1, 3))
    graph = random_graph(seed, n) if seed % 2 else tied_graph(seed, n)
    weights = rng.integers(0, 4, size=n) + rng.integers(0, 2)
    weights = np.maximum(weights, weights.sum() == 0).astype(float)
    rows = dijkstra(graph)
    start = rng.choice(n, k, replace=False)
    found = searched(Objective(graph, weights, power), start, seed=seed)
    assert found.converged
    assert len(set(found.medoids)) == k
    cost = reference.medoid_cost(rows, weights, found.medoids, power)
    assert cost <= reference.medoid_cost(rows, weights, start, power)
    whole = k_medoids(graph, k, weights=weights, power=power, seed=seed, max_candidates=None)
    assert whole.cost == pytest.approx(reference.medoid_cost(rows, weights, whole.medoids, power), rel=1e-12)
    assert cost >= reference.least_medoid_cost(rows, weights, k, power) * (1 - 1e-12)
    left = [reference.swap_changes(rows, weights, found.medoids, x, power) for x in range(n) if x not in found.medoids]
    assert np.min(left) >= -1e-9 * (1 + cost)


@pytest.mark.parametrize("power", [1, 2])
def test_cost_is_told_and_never_rises(power):
    objective = Objective(neighbour_graph(7, 2000), np.random.default_rng(0).uniform(size=2000), power)
    told = []
    found = searched(
        objective, np.arange(25), progress=lambda done, cost: told.append((done, cost))
    )  # recounted each time
    done, costs = zip(*told, strict=True)
    assert (np.diff(done) > 0).all()
    assert done[-1] == found.n_candidates
    assert (np.diff(costs) <= 0).all()
    assert found.n_swaps > 25
    assert costs[-1] == pytest.approx(objective.cost(nearest(objective.graph, found.medoids)[1]), rel=1e-9)


def test_the_number_of_threads_does_not_matter(monkeypatch):
    objective = Objective(neighbour_graph(8, 1500), np.ones(1500), 1)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(swap.os, "cpu_count", lambda threads=threads: threads)
        found.append(searched(objective, np.arange(12)))
    for other in found[1:]:
        np.testing.assert_array_equal(other.medoids, found[0].medoids)
        assert other[1:] == found[0][1:]


def test_a_budget_is_kept():
    objective = Objective(neighbour_graph(9, 1500), np.ones(1500), 1)
    few, more = (searched(objective, np.arange(12), max_candidates=count) for count in (70, 700))
    assert (few.n_candidates, few.converged) == (70, False)
    assert (more.n_candidates, more.converged) == (700, False)
    costs = [objective.cost(nearest(objective.graph, found.medoids)[1]) for found in (few, more)]
    assert costs[1] < costs[0]
    late = searched(objective, np.arange(12), ends=-np.inf)
    assert (late.medoids.tolist(), late.n_candidates, late.converged) == (list(range(12)), 0, False)


def test_every_node_a_medoid():
    found = searched(Objective(PATH, np.ones(5), 1), np.arange(5))
    assert (sorted(found.medoids), found.n_swaps, found.converged) == ([0, 1, 2, 3, 4], 0, True)
