import numpy as np
import pytest

from geovq.medoids import voronoi as module
from geovq.medoids.cost import Objective
from geovq.medoids.nearest import labels_of, nearest
from geovq.medoids.voronoi import update, voronoi
from tests import reference
from tests.graph.test_csr import dense, graph_of
from tests.medoids.test_nearest import PATH, neighbour_graph

NOTHING = (0.0, np.inf, lambda done, cost: None)


def updated(objective, medoids, seed=0):
    near, distances = nearest(objective.graph, medoids)
    labels = labels_of(medoids, near)
    chosen, exact = update(objective, medoids, labels, distances, np.random.default_rng(seed))
    assert exact
    return chosen, labels


def test_the_middle_of_a_path_is_its_medoid():
    medoids, rounds, settled = voronoi(
        Objective(PATH, np.ones(5), 1), np.array([0]), np.random.default_rng(0), *NOTHING
    )
    assert (medoids.tolist(), rounds, settled) == ([2], 2, True)


def test_a_tie_keeps_the_medoid():
    ring = graph_of(6, *((i, (i + 1) % 6, 0.1) for i in range(6)))
    for medoid in range(6):
        assert updated(Objective(ring, np.ones(6), 1), np.array([medoid]))[0].tolist() == [medoid]


@pytest.mark.parametrize("power", [1, 2])
def test_small_cells_choose_the_best_of_their_nodes(power):
    graph = neighbour_graph(11, 120)
    weights = np.random.default_rng(1).integers(0, 4, size=120).astype(float)
    medoids = np.random.default_rng(2).choice(120, 9, replace=False)
    chosen, labels = updated(Objective(graph, weights, power), medoids)
    lengths = dense(graph)
    for cell in range(9):
        members = np.flatnonzero(labels == cell)
        inside = reference.shortest_paths(lengths[np.ix_(members, members)])
        sums = inside**power @ weights[members]
        assert sums[members.tolist().index(chosen[cell])] <= sums.min() * (1 + 1e-9)


@pytest.mark.parametrize("references", [1, 3, 8])
def test_cost_never_rises_however_few_references_there_are(monkeypatch, references):
    monkeypatch.setattr(module, "_CHEAP", 0)
    monkeypatch.setattr(module, "REFERENCES", references)
    graph = neighbour_graph(4, 400)
    weights = np.random.default_rng(0).integers(0, 5, size=400).astype(float)
    objective = Objective(graph, weights, 1)
    medoids = np.random.default_rng(3).choice(400, 20, replace=False)
    costs = [objective.cost(nearest(graph, medoids)[1])]
    found, rounds, _ = voronoi(
        objective, medoids, np.random.default_rng(0), 0.0, np.inf, lambda done, cost: costs.append(cost)
    )
    assert rounds >= 3
    assert (np.diff(costs) <= 0).all()
    assert costs[-1] < 0.95 * costs[0]
    assert objective.cost(nearest(graph, found)[1]) == costs[-1]
    assert len(set(found)) == 20


def test_few_references_come_near_to_all(monkeypatch):
    graph = neighbour_graph(5, 2000, k=8)
    objective = Objective(graph, np.ones(2000), 1)
    medoids = np.random.default_rng(3).choice(2000, 10, replace=False)
    exact = voronoi(objective, medoids, np.random.default_rng(0), *NOTHING)[0]
    monkeypatch.setattr(module, "_CHEAP", 0)
    sampled = voronoi(objective, medoids, np.random.default_rng(0), *NOTHING)[0]
    costs = [objective.cost(nearest(graph, found)[1]) for found in (exact, sampled)]
    assert costs[1] < 1.03 * costs[0]


def test_no_round_begins_when_time_is_up_or_gains_are_small():
    objective = Objective(neighbour_graph(5, 400), np.ones(400), 1)
    medoids = np.arange(10)
    say = NOTHING[2]
    kept, rounds, settled = voronoi(objective, medoids, np.random.default_rng(0), 0.0, -np.inf, say)
    assert (kept.tolist(), rounds, settled) == (medoids.tolist(), 0, False)
    assert voronoi(objective, medoids, np.random.default_rng(0), 1.0, np.inf, say)[1:] == (1, False)
