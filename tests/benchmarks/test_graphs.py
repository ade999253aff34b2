"""The rivals of benchmarks.medoids and benchmarks.nearest do what they say, or a comparison would flatter us."""

import numpy as np
import pytest

from benchmarks import nearest
from benchmarks.common import graphs
from geovq.medoids.nearest import nearest_medoid
from tests import reference
from tests.graph.test_csr import dense
from tests.medoids.test_nearest import neighbour_graph

GRAPH = neighbour_graph(12, 150)


def test_voronoi_iteration_leaves_no_better_medoid_in_a_cell():
    medoids = graphs.voronoi(GRAPH, 8, 0)
    labels, _ = nearest_medoid(GRAPH, medoids)
    for cell, medoid in enumerate(medoids):
        members = np.flatnonzero(labels == cell)
        sums = reference.shortest_paths(dense(GRAPH)[np.ix_(members, members)]).sum(axis=1)
        assert sums[members.tolist().index(medoid)] <= sums.min() * (1 + 1e-9)


def test_the_matrix_holds_all_shortest_paths():
    distances, _ = graphs.matrix(GRAPH)
    np.testing.assert_allclose(distances, reference.shortest_paths(dense(GRAPH)), rtol=1e-6)


def test_other_ways_to_the_nearest_medoid_agree():
    medoids = np.array([3, 77, 140])
    labels, distances = nearest_medoid(GRAPH, medoids)
    theirs = nearest.scipy_min_only(GRAPH, medoids)
    np.testing.assert_array_equal(theirs[0], labels)
    np.testing.assert_array_equal(theirs[1], distances)
    np.testing.assert_array_equal(nearest.separate_rows(GRAPH, medoids), distances)
    for library in nearest.libraries(GRAPH, medoids).values():
        np.testing.assert_allclose(library(), distances)


def test_fasterpam_and_clara_find_good_medoids():
    pytest.importorskip("kmedoids")
    distances, _ = graphs.matrix(GRAPH)
    found = distances[graphs.fasterpam(distances, 8, 0)].min(axis=0).sum()
    assert found <= 1.02 * distances[graphs.voronoi(GRAPH, 8, 0)].min(axis=0).sum()
    sampled = distances[graphs.clara(GRAPH, 8, 0)].min(axis=0).sum()
    assert found * 0.99 <= sampled <= 1.3 * found
