import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from geovq.graph.components import bridge_components
from geovq.graph.csr import MIN_LENGTH, knn_graph
from geovq.medoids.nearest import label_nodes, nearest_medoid
from geovq.validation import InputError
from tests import reference
from tests.graph.test_csr import dense, graph_of

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


def test_a_path_is_split_between_its_ends():
    labels, distances = nearest_medoid(PATH, np.array([4, 0]))
    np.testing.assert_array_equal(labels[[0, 1, 3, 4]], [1, 1, 0, 0])
    np.testing.assert_array_equal(distances, [0, 1, 2, 1, 0])
    assert labels.dtype == np.int32


def test_nodes_without_a_path_are_refused_or_marked():
    with pytest.raises(InputError, match="found 2 nodes without one, the first 2"):
        nearest_medoid(PAIRS, np.array([0]))
    labels, distances = label_nodes(PAIRS, np.array([0]))
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


def test_of_equally_near_medoids_the_smallest_node_is_taken():
    lattice = graph_of(9, *((i, i + 1, 1) for i in range(9) if i % 3 < 2), *((i, i + 3, 1) for i in range(6)))
    rows = reference.shortest_paths(dense(lattice))
    for medoids in ([8, 0, 2], [2, 8, 0], [5, 3], [6, 7, 1, 4]):
        near = [min((rows[m, u], m) for m in medoids)[1] for u in range(9)]
        np.testing.assert_array_equal(np.array(medoids)[nearest_medoid(lattice, np.array(medoids))[0]], near)


@pytest.mark.parametrize("spread", [0, 3, 12])
def test_lengths_of_all_sizes(spread):
    """Distances wait in a list until it is their turn, however unevenly they are spread."""
    rng = np.random.default_rng(spread)
    graph = random_graph(spread, 200, extra=300)
    graph.data[:] = 10.0 ** rng.uniform(-spread, spread, size=len(graph.data))
    graph = graph.minimum(graph.T).tocsr()
    medoids = rng.choice(200, 7, replace=False)
    rows = dijkstra(graph, indices=medoids)
    labels, distances = nearest_medoid(graph, medoids)
    np.testing.assert_array_equal(distances, rows.min(axis=0))
    np.testing.assert_array_equal(rows[labels, np.arange(200)], distances)


WITHOUT_NUMBA = """
import sys, warnings
sys.modules["numba"] = None
import numpy as np
from scipy.sparse.csgraph import dijkstra
from tests.medoids.test_nearest import PAIRS, neighbour_graph
from geovq.medoids.search import k_medoids
from geovq.graph.neighbours import nearest_neighbours
from geovq.medoids.nearest import label_nodes, nearest_medoid
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    graph = neighbour_graph(3, 500)
    found = k_medoids(graph, 12, seed=1)
    labels, distances = nearest_medoid(graph, found.medoids)
assert (labels == found.labels).all() and (distances == found.distances).all()
assert len(said) == 1 and "numba is not installed" in str(said[0].message), said
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found_exactly = nearest_neighbours(np.random.default_rng(0).normal(size=(60_000, 1)), 2)
assert found_exactly.method == "exact"
assert len(said) == 1 and "pynndescent is not installed" in str(said[0].message), said
one = k_medoids(graph, 1, weights=np.arange(500) % 2.0, power=2)
apart = label_nodes(PAIRS, np.array([0]))
assert one.converged and one.n_swaps == 0
sums = (dijkstra(graph) ** 2) @ (np.arange(500) % 2.0)
assert one.cost <= sums.min() * (1 + 1e-9)
assert apart[0].tolist() == [0, 0, 1, 1] and apart[1].tolist() == [0, 1, np.inf, np.inf]
print(found.cost, *sorted(found.medoids), found.n_swaps, found.converged)
"""


def test_without_numba_all_works_with_one_warning():
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cost, *medoids, swaps, converged = done.stdout.split()
    assert (swaps, converged) == ("0", "True")
    graph = neighbour_graph(3, 500)
    _, distances = nearest_medoid(graph, np.array(medoids, dtype=int))
    assert distances.sum() == pytest.approx(float(cost))
    from geovq.medoids.search import k_medoids

    best = k_medoids(graph, 12, seed=1, max_candidates=None).cost
    assert best <= float(cost) < 1.2 * best
