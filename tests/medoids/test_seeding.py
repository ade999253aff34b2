import numpy as np
import pytest

from geovq.medoids import kernels as searches
from geovq.medoids import seeding
from geovq.medoids.cost import Objective
from geovq.medoids.nearest import arcs, nearest
from geovq.medoids.seeding import seed_medoids
from tests.graph.test_csr import graph_of
from tests.medoids.test_nearest import PATH, neighbour_graph


def test_the_second_medoid_of_two_far_pairs_lies_in_the_other():
    pairs = graph_of(4, (0, 1, 1e-6), (1, 2, 1e6), (2, 3, 1e-6))
    for seed in range(20):
        first, second = seed_medoids(Objective(pairs, np.ones(4), 1), 2, np.random.default_rng(seed)) // 2
        assert first != second


@pytest.mark.parametrize("power", [1, 2])
def test_nodes_are_drawn_in_proportion_to_what_they_cost(power):
    star = graph_of(4, (0, 1, 1), (0, 2, 2), (0, 3, 3))
    weights = np.array([0.0, 6, 3, 1])
    weights[0] = 1e12  # so the first medoid is the centre
    rng = np.random.default_rng(0)
    drawn = [seed_medoids(Objective(star, weights, power), 2, rng)[1] for _ in range(4000)]
    expected = weights[1:] * np.array([1.0, 2, 3]) ** power
    np.testing.assert_allclose(np.bincount(drawn, minlength=4)[1:] / 4000, expected / expected.sum(), atol=0.03)


@pytest.mark.parametrize("compiled", [True, False])
def test_one_more_medoid_shortens_as_a_full_search_would(compiled):
    graph = neighbour_graph(6, 300, k=4)
    medoids = np.random.default_rng(0).choice(300, 12, replace=False)
    _, distances = nearest(graph, medoids[:1])
    for place in range(1, 12):
        if compiled:
            searches.shorten(arcs(graph), distances, medoids[place], searches.new_work(300))
        else:
            seeding._shorten(graph, distances, medoids[place])
        np.testing.assert_array_equal(distances, nearest(graph, medoids[: place + 1])[1])


def test_medoids_are_distinct_even_where_nothing_costs():
    for seed in range(10):
        medoids = seed_medoids(Objective(PATH, np.array([0.0, 0, 1, 0, 0]), 1), 5, np.random.default_rng(seed))
        assert sorted(medoids) == [0, 1, 2, 3, 4]
