import numpy as np
import pytest

from geovq.graph import attach as attachment
from geovq.graph.attach import attach_points, nearest_label
from geovq.metric.edge_lengths import edge_length
from geovq.validation import InputError

RNG = np.random.default_rng(0)
NODES, POINTS = RNG.normal(size=(60, 3)).astype(np.float32), RNG.normal(size=(25, 3)).astype(np.float32)


def metrics(n, seed):
    factors = np.random.default_rng(seed).normal(size=(n, 4, 3)).astype(np.float32)
    return factors.transpose(0, 2, 1) @ factors


def test_the_nearest_node_need_not_lead_to_the_nearest_medoid():
    nodes, points = np.array([[0.0], [3.0]]), np.array([[1.0], [2.9]])
    near, steps = attach_points(nodes, points, 2)
    np.testing.assert_array_equal(near, [[0, 1], [1, 0]])
    np.testing.assert_allclose(steps, np.array([[1, 2], [0.1, 2.9]]))
    labels, lengths = nearest_label(near, steps, np.array([7, 4]), np.array([5.0, 0.5]))
    np.testing.assert_array_equal(labels, [4, 4])
    np.testing.assert_allclose(lengths, [2.5, 0.6], rtol=1e-12)
    assert labels.dtype == np.int32


def test_edges_are_measured_one_by_one():
    of_nodes, of_points = metrics(60, 1), metrics(25, 2)
    near, steps = attach_points(NODES, POINTS, 5, node_metrics=of_nodes, point_metrics=of_points)
    np.testing.assert_array_equal(near, attach_points(NODES, POINTS, 5)[0])
    for q in range(25):
        for node, step in zip(near[q], steps[q], strict=True):
            truth = edge_length(NODES[node] - POINTS[q], of_points[q], of_nodes[node])
            assert step == pytest.approx(float(truth), rel=1e-5)


def test_points_do_not_influence_each_other(monkeypatch):
    given = {"node_metrics": metrics(60, 1), "point_metrics": metrics(25, 2)}
    near, steps = attach_points(NODES, POINTS, 5, **given)
    alone = [
        attach_points(
            NODES,
            POINTS[q : q + 1],
            5,
            node_metrics=given["node_metrics"],
            point_metrics=given["point_metrics"][q : q + 1],
        )
        for q in range(25)
    ]
    np.testing.assert_array_equal(np.concatenate([nodes for nodes, _ in alone]), near)
    np.testing.assert_array_equal(np.concatenate([lengths for _, lengths in alone]), steps)
    monkeypatch.setattr(attachment, "_CHUNK", 7)
    np.testing.assert_array_equal(attach_points(NODES, POINTS, 5, **given)[1], steps)


def test_half_of_the_metrics_is_refused():
    with pytest.raises(InputError, match="at the nodes and at the points, or none"):
        attach_points(NODES, POINTS, 5, node_metrics=metrics(60, 1))
