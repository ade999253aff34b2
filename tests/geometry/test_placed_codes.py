"""Codes in the measured graph: a line by hand, an arc, and all paths by Floyd-Warshall."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.geometry.measured import measure
from geovq.geometry.placed_codes import code_field, lengths_to_codes, nearest_along, place_codes
from geovq.graph.csr import MIN_LENGTH
from geovq.validation import InputError
from tests import reference
from tests.geometry.test_measured import on_a_line


def test_nearest_code_along_a_line():
    field = code_field(place_codes(on_a_line(num_neighbours=2), np.array([[0.0], [3.5]], np.float32)))
    latents, metrics = np.array([[1.4], [2.4]], np.float32), np.full((2, 1, 1), 4, np.float32)
    tokens, lengths = nearest_along(field, latents, metrics)
    np.testing.assert_array_equal(tokens, [0, 1])
    np.testing.assert_allclose(lengths, [2.8, 2.2], rtol=1e-5)


def test_lengths_to_codes_that_are_not_the_nearest():
    placed = place_codes(on_a_line(num_neighbours=2), np.array([[0.0], [3.5]], np.float32))
    latents, metrics = np.array([[1.4], [2.4]], np.float32), np.full((2, 1, 1), 4, np.float32)
    found = lengths_to_codes(placed, latents, metrics, np.array([[0, 1], [0, 1]]))
    np.testing.assert_allclose(found, [[2.8, 4.2], [4.8, 2.2]], rtol=1e-5)
    field = code_field(placed)
    tokens, lengths = nearest_along(field, latents, metrics)
    np.testing.assert_allclose(lengths_to_codes(placed, latents, metrics, tokens[:, None])[:, 0], lengths, rtol=1e-5)


def test_paths_follow_the_data_round_an_arc():
    """Points on three quarters of a circle: the way between its ends is along the arc, not across the gap."""
    angles = np.linspace(0, 1.5 * np.pi, 200)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    geometry = measure(lambda z: z, arc.reshape(200, 1, 1, 2), num_neighbours=2)
    placed = place_codes(geometry, arc[:1])
    identity = np.eye(2, dtype=np.float32)[None]
    length = lengths_to_codes(placed, arc[-1:], identity, np.array([[0]]))
    np.testing.assert_allclose(length, [[1.5 * np.pi]], rtol=1e-3)


def test_paths_equal_those_of_the_whole_graph():
    """New latents and codes joined by hand to a random graph, all distances by Floyd-Warshall."""
    rng = np.random.default_rng(0)
    grids = rng.standard_normal((25, 1, 1, 3)).astype(np.float32)
    geometry = measure(lambda z: jnp.sin(z) + z, grids, num_neighbours=3)
    placed = place_codes(geometry, rng.standard_normal((4, 3)).astype(np.float32))
    latents = rng.standard_normal((6, 3)).astype(np.float32)
    roots = rng.standard_normal((6, 3, 3)).astype(np.float32)
    metrics = roots @ roots.transpose(0, 2, 1)
    dense = placed.graph.toarray()
    between = reference.shortest_paths(np.where(dense > 0, dense, np.inf))
    wanted = np.full((6, 4), np.inf)
    for i in range(6):
        nearest = np.argsort(np.linalg.norm(placed.nodes - latents[i], axis=1))[:3]
        for j in nearest:
            step = placed.nodes[j] - latents[i]
            squares = [reference.quadratic_form(step, g) for g in (metrics[i], placed.metrics[j])]
            for code in range(4):
                wanted[i, code] = min(wanted[i, code], np.mean(np.sqrt(squares)) + between[j, placed.n_sampled + code])
    every_code = np.broadcast_to(np.arange(4), (6, 4))
    np.testing.assert_allclose(lengths_to_codes(placed, latents, metrics, every_code), wanted, rtol=1e-5)
    tokens, lengths = nearest_along(code_field(placed), latents, metrics)
    np.testing.assert_array_equal(tokens, wanted.argmin(axis=1))
    np.testing.assert_allclose(lengths, wanted.min(axis=1), rtol=1e-5)


def two_clusters(components: str):
    latents = np.array([0, 1, 2, 100, 101], np.float32).reshape(5, 1, 1, 1)
    return measure(lambda z: z, latents, num_neighbours=1, components=components)


def test_bridged_components_reach_every_code():
    field = code_field(place_codes(two_clusters("bridge"), np.array([[0.0]], np.float32)))
    np.testing.assert_array_equal(field.labels, 0)
    np.testing.assert_allclose(field.distances[:5], [0, 1, 2, 100, 101], atol=1e-5)


def test_dropped_components_have_token_k():
    geometry = two_clusters("drop")
    code = place_codes(geometry, np.array([[0.0]], np.float32))._replace(num_neighbours=1)
    tokens, lengths = nearest_along(
        code_field(code), np.array([[1.1], [100.2]], np.float32), np.ones((2, 1, 1), np.float32)
    )
    np.testing.assert_array_equal(tokens, [0, 1])
    assert np.isinf(lengths[1])


def test_codes_are_the_last_nodes_with_the_metrics_of_their_neighbours():
    geometry = on_a_line(num_neighbours=2)
    geometry = geometry._replace(metrics=np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1))
    placed = place_codes(geometry, np.array([[0.2], [3.9]], np.float32))
    assert placed.n_sampled == 5
    np.testing.assert_allclose(placed.nodes.ravel(), [0, 1, 2, 3, 4, 0.2, 3.9])
    np.testing.assert_array_equal(placed.metrics.ravel(), [1, 2, 3, 4, 5, 1, 5])
    assert (placed.graph != placed.graph.T).nnz == 0
    np.testing.assert_array_equal(placed.graph[[5]].nonzero()[1], [0, 1])


def test_a_code_that_is_a_node_is_as_near_as_lengths_go():
    placed = place_codes(on_a_line(num_neighbours=2), np.array([[2.0], [2.0]], np.float32))
    field = code_field(placed)
    assert field.labels[2] == 0  # of equally near codes the first
    assert field.distances[2] == pytest.approx(MIN_LENGTH * placed.graph.data.max())
    np.testing.assert_array_equal(field.labels[5:], [0, 1])


def test_tokens_of_no_code_are_refused():
    placed = place_codes(on_a_line(), np.array([[0.0]], np.float32))
    with pytest.raises(InputError, match=r"tokens: expected integers in 0\.\.0, found 1 outside"):
        lengths_to_codes(placed, np.zeros((1, 1), np.float32), np.ones((1, 1, 1), np.float32), np.array([[1]]))
