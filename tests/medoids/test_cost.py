import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geovq.graph.csr import MIN_LENGTH, check_graph
from geovq.medoids.cost import Objective, with_exact_sums
from tests.graph.test_csr import graph_of
from tests.medoids.test_nearest import PATH, random_graph


def test_cost_by_hand():
    objective = Objective(PATH, np.array([1.0, 2, 3, 0, 5]), 2)
    np.testing.assert_array_equal(objective.costs(np.array([0, 1, 2, 3, 4.0])), [0, 2, 12, 0, 80])
    assert objective.cost(np.array([0, 1, 2, 3, 4.0])) == 94


def test_sums_are_exact_whichever_way_they_are_added():
    graph = with_exact_sums(graph_of(4, (0, 1, 0.1), (1, 2, 0.2), (2, 3, 0.3)))
    there, back = dijkstra(graph, indices=0)[3], dijkstra(graph, indices=3)[0]
    assert there == back
    assert (0.1 + 0.2) + 0.3 != 0.1 + (0.2 + 0.3)  # without rounding they are not


@pytest.mark.parametrize("spread", [0, 2, 6])
def test_lengths_hardly_change_and_none_is_lost_beside_long_paths(spread):
    graph = random_graph(spread, 80, extra=60)
    graph.data[:] = 10.0 ** np.random.default_rng(0).uniform(-spread, spread, size=len(graph.data))
    graph = csr_array(graph.minimum(graph.T))
    exact, rows = check_graph(with_exact_sums(graph)), dijkstra(graph)
    np.testing.assert_allclose(exact.data, graph.data, rtol=0, atol=4e-15 * rows.max())
    np.testing.assert_allclose(dijkstra(exact), rows, rtol=0, atol=1e-12 * rows.max())
    assert (rows.max() + exact.data > rows.max()).all()


def test_the_least_length_beside_a_long_one():
    graph = with_exact_sums(graph_of(3, (0, 1, MIN_LENGTH), (1, 2, 1e6)))
    assert dijkstra(graph, indices=2)[0] > dijkstra(graph, indices=2)[1]


def test_one_node():
    assert with_exact_sums(csr_array((1, 1))).nnz == 0
