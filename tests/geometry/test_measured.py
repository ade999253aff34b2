"""The measured latent space: a line that can be checked by hand, then decoders whose geometry is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.geometry.measured import connect, draw, measure
from geovq.geometry.placed_codes import code_field, nearest_along, place_codes
from geovq.graph.neighbours import nearest_neighbours
from geovq.validation import InputError


def on_a_line(num_neighbours: int = 1, components: str = "bridge"):
    """Latents 0..4 on a line, 2 twice; the image moves twice as fast as the latent."""
    latents = np.array([0, 1, 2, 2, 3, 4], np.float32).reshape(6, 1, 1, 1)
    return measure(lambda z: 2 * z, latents, num_neighbours=num_neighbours, components=components)


def test_duplicates_are_merged_and_weighted():
    geometry = on_a_line()
    np.testing.assert_array_equal(geometry.nodes.ravel(), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(geometry.weights, [1, 1, 2, 1, 1])
    np.testing.assert_allclose(geometry.metrics.ravel(), 4)
    np.testing.assert_allclose(geometry.mean_metric, [[4]])


@pytest.mark.parametrize("components", ["bridge", "drop"])
def test_few_latents_are_joined_to_all_others(components):
    """Fewer than the neighbours that were asked for; the user never chose a number."""
    few, all_of_them = on_a_line(16, components), on_a_line(4, components)
    assert few.num_neighbours == 4
    np.testing.assert_array_equal(few.geodesic.toarray(), all_of_them.geodesic.toarray())
    assert few.geodesic.nnz == 5 * 4


@pytest.mark.parametrize("components", ["bridge", "drop"])
def test_a_single_distinct_latent_has_no_edges(components):
    latents = np.full((3, 1, 1, 1), 2, np.float32)
    geometry = measure(lambda z: 2 * z, latents, num_neighbours=16, components=components)
    np.testing.assert_array_equal(geometry.nodes, [[2]])
    np.testing.assert_array_equal(geometry.weights, [3])
    assert (geometry.num_neighbours, geometry.recall, geometry.bridges, geometry.dropped) == (1, 1.0, 0, 0)
    assert geometry.straight.nnz == geometry.geodesic.nnz == 0
    field = code_field(place_codes(geometry, np.array([[2], [3]], np.float32)))
    tokens, lengths = nearest_along(field, np.array([[2.1], [3.0]], np.float32), np.full((2, 1, 1), 4, np.float32))
    np.testing.assert_array_equal(tokens, [0, 1])
    np.testing.assert_allclose(lengths, [0.2, 0], atol=1e-6)


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None])
def test_bad_numbers_of_neighbours_are_named_as_the_user_knows_them(bad):
    with pytest.raises(InputError, match="num_neighbours: expected a whole number of at least 1"):
        on_a_line(bad)


def test_it_is_told_how_well_neighbours_were_found_and_what_was_bridged(monkeypatch):
    geometry = on_a_line()
    assert (geometry.num_neighbours, geometry.recall, geometry.bridges) == (1, 1.0, 0)
    pairs = np.array([0, 1, 10, 11, 30, 31], np.float32).reshape(6, 1, 1, 1)
    bridged, apart = (measure(lambda z: 2 * z, pairs, num_neighbours=1, components=how) for how in ("bridge", "drop"))
    assert (bridged.bridges, bridged.dropped) == (2, 0)
    assert (apart.bridges, apart.dropped) == (0, 4)
    found = nearest_neighbours(np.arange(5, dtype=np.float32)[:, None], 1)._replace(recall=0.9)
    monkeypatch.setattr("geovq.geometry.measured.nearest_neighbours", lambda *args, **options: found)
    assert on_a_line().recall == 0.9


def test_sketched_metrics_are_near_the_exact_ones():
    grids = np.random.default_rng(0).normal(size=(20, 1, 1, 2)).astype(np.float32)
    stretch = jnp.array(np.random.default_rng(1).normal(size=(2, 50)))
    exact, sketched = (measure(lambda z: z @ stretch, grids, num_neighbours=3, probes=r) for r in (None, 2000))
    assert (exact.metrics != sketched.metrics).any()
    np.testing.assert_allclose(sketched.geodesic.data, exact.geodesic.data, rtol=0.1)
    scale = np.trace(exact.mean_metric)
    np.testing.assert_allclose(sketched.mean_metric, exact.mean_metric, atol=0.01 * scale)
    assert (
        np.abs(sketched.metrics.mean(axis=0) - exact.mean_metric).max() > 0.01 * scale
    )  # whose errors do not average out


def test_merged_latents_have_the_mean_metric():
    grids = np.array([0, 0, 1, 5], np.float32).reshape(4, 1, 1, 1)
    metrics = np.array([1, 3, 5, 7], np.float32).reshape(4, 1, 1, 1, 1)
    geometry = connect(grids, metrics, num_neighbours=1, components="bridge")
    np.testing.assert_allclose(geometry.metrics.ravel(), [2, 5, 7])
    np.testing.assert_allclose(geometry.mean_metric, [[4]])


def test_lengths_are_in_intensity():
    geometry = on_a_line()
    np.testing.assert_allclose(geometry.straight.data, 1)
    np.testing.assert_allclose(geometry.geodesic.data, 2)


def test_unknown_components_are_refused():
    with pytest.raises(InputError, match="bridge, drop, found 'cut'"):
        on_a_line(components="cut")


def test_draw_is_random_sorted_and_never_more_than_there_is():
    rows = np.arange(100)
    drawn = draw(rows, 10, seed=0)
    assert len(set(drawn)) == 10
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(draw(rows, 1000, seed=0), rows)
    assert set(draw(rows, 10, seed=1)) != set(drawn)


def test_measuring_a_sample_is_measuring_what_is_drawn(monkeypatch):
    grids = np.arange(20, dtype=np.float32).reshape(20, 1, 1, 1)
    monkeypatch.setattr(
        "geovq.graph.csr._is_sound", lambda graph: pytest.fail("the graph is its own, and needs no check")
    )
    sampled = measure(lambda z: z, grids, num_neighbours=2, max_images=8, seed=3)
    code_field(place_codes(sampled, np.array([[0.0]], np.float32)))
    np.testing.assert_array_equal(sampled.nodes, draw(grids, 8, seed=3).reshape(-1, 1))
