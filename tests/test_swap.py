import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from geovq import searches, swap
from geovq.objective import Objective
from geovq.shortest import arcs, nearest
from geovq.swap import swap_search
from tests import reference
from tests.test_graph import graph_of
from tests.test_shortest import PATH, neighbour_graph, random_graph


def known(objective, medoids) -> tuple[searches.Arcs, searches.Cost, searches.State]:
    """What a search knows: the graph, the cost, the state of the medoids."""
    n = objective.graph.shape[0]
    state = searches.state(n, np.asarray(medoids))
    given = arcs(objective.graph), searches.Cost(objective.weights, objective.power), state
    searches.two_nearest(*given, searches.work(n, len(medoids)))
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
    np.testing.assert_array_equal(np.flatnonzero(state.place >= 0), np.sort(medoids))
    np.testing.assert_array_equal(state.place[medoids], np.arange(len(medoids)))
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
    change, place, space = np.empty(n), np.empty(n, np.int32), searches.work(n, 6)
    searches.gains(*given, np.arange(n), change, place, space)
    for x in range(n):
        if x in medoids:
            assert (change[x], place[x]) == (0, -1)
            continue
        truth = reference.swap_changes(rows, weights, medoids, x, power)
        assert change[x] == pytest.approx(min(truth), rel=1e-9, abs=1e-9)
        assert truth[place[x]] == pytest.approx(min(truth), rel=1e-9, abs=1e-9)
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
    state, space = given[2], searches.work(n, k)
    assert_state_is_true(state, rows, weights, power)
    for _ in range(30):
        x = rng.choice(np.setdiff1d(np.arange(n), state.medoids))
        searches.swap(*given, rng.integers(k), x, space)
        assert_state_is_true(state, rows, weights, power)


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
    assert cost >= reference.least_medoid_cost(rows, weights, k, power) * (1 - 1e-12)
    left = [reference.swap_changes(rows, weights, found.medoids, x, power) for x in range(n) if x not in found.medoids]
    assert np.min(left) >= -1e-9 * (1 + cost)


@pytest.mark.parametrize("power", [1, 2])
def test_cost_is_told_and_never_rises(power):
    objective = Objective(neighbour_graph(7, 2000), np.random.default_rng(0).uniform(size=2000), power)
    told = []
    found = searched(objective, np.arange(25), progress=lambda done, cost: told.append((done, cost)))
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
