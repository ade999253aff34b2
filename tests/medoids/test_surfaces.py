"""Surfaces whose metric and geodesics are known in closed form: sphere, paraboloid, swiss roll.

Each is a decoder of a chart of the plane. Graph geodesics run over 5,000 random points of the chart, joined to their 32 nearest
neighbours under the mean metric, edges measured from cached metrics. Held against closed form: the relative error of the distance
from a few sources to all other points.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from geovq.graph.components import bridge_components
from geovq.graph.csr import edges, knn_graph, reweight
from geovq.metric.batched import pullback_metrics
from geovq.metric.curve_lengths import polyline_lengths
from geovq.metric.edge_lengths import measure_edges

POINTS = 5_000
NEIGHBOURS = 32
TOLERANCE = 0.03


class Surface(NamedTuple):
    decode: Callable
    metric: Callable
    """Closed form: z (2,) -> (2, 2)."""
    distances: Callable
    """Closed form: z (n, 2), source (2,) -> (n,)."""
    points: Callable
    """rng, n -> (n, 2)."""
    sources: tuple[int, ...]


def disk(rng, n, radius):
    """Uniform in a disk; the first point is its centre."""
    angles = rng.uniform(0, 2 * np.pi, n)
    radii = radius * np.sqrt(rng.uniform(size=n))
    radii[0] = 0
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def sphere(z):
    """Inverse stereographic projection from the north pole; the unit disk is the southern hemisphere."""
    square = jnp.sum(z**2)
    return jnp.append(2 * z, square - 1) / (1 + square)


def great_circles(z, source):
    cosines = [float(sphere(point) @ sphere(source)) for point in z]
    return np.arccos(np.clip(cosines, -1, 1))


def paraboloid(z):
    return jnp.append(z, jnp.sum(z**2))


def meridians(z, source):
    """Arc lengths of parabolas from the apex."""
    assert not source.any()
    r = np.linalg.norm(z, axis=1)
    return (2 * r * np.sqrt(1 + 4 * r**2) + np.arcsinh(2 * r)) / 4


def swiss_roll(z):
    """A rectangle of angle and height, rolled up."""
    return jnp.stack([z[0] * jnp.cos(z[0]), z[1], z[0] * jnp.sin(z[0])])


def unrolled(z, source):
    """Straight lines on the sheet, whose length up to angle t is that of Archimedes' spiral."""
    spiral = [(t * np.sqrt(1 + t**2) + np.arcsinh(t)) / 2 for t in (z[:, 0], source[0])]
    return np.hypot(spiral[0] - spiral[1], z[:, 1] - source[1])


SURFACES = {
    "sphere": Surface(
        sphere,
        lambda z: 4 / (1 + z @ z) ** 2 * np.eye(2),
        great_circles,
        lambda rng, n: disk(rng, n, 0.9),
        (0, 1, 2, 3),
    ),
    "paraboloid": Surface(
        paraboloid, lambda z: np.eye(2) + 4 * np.outer(z, z), meridians, lambda rng, n: disk(rng, n, 1.0), (0,)
    ),
    "swiss roll": Surface(
        swiss_roll,
        lambda z: np.diag([1 + z[0] ** 2, 1]),
        unrolled,
        lambda rng, n: np.stack([rng.uniform(1.5 * np.pi, 4.5 * np.pi, n), rng.uniform(0, 21, n)], axis=1),
        (0, 1, 2, 3),
    ),
}


@pytest.fixture(params=SURFACES)
def surface(request) -> Surface:
    return SURFACES[request.param]


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_metric_in_closed_form(surface):
    z = surface.points(np.random.default_rng(0), 20)
    wanted = np.stack([surface.metric(point) for point in z])
    np.testing.assert_allclose(pullback_metrics(surface.decode, z), wanted, rtol=1e-12, atol=1e-12)


def test_graph_geodesics_in_closed_form(surface):
    """Median error within 1%, 99th percentile within 3%, and no path shorter than the shortest but by the error of its edges."""
    z = surface.points(np.random.default_rng(1), POINTS)
    metrics = pullback_metrics(surface.decode, z)
    whitened = z @ np.linalg.cholesky(metrics.mean(axis=0))
    graph = bridge_components(knn_graph(whitened, NEIGHBOURS), whitened)
    graph = reweight(graph, measure_edges(z, metrics, *edges(graph)))
    errors = []
    for source in surface.sources:
        wanted = np.delete(surface.distances(z, z[source]), source)
        found = np.delete(dijkstra(graph, indices=source), source)
        errors.append(found / wanted - 1)
    sizes = np.abs(np.concatenate(errors))
    assert np.median(sizes) <= 0.01
    assert np.percentile(sizes, 99) <= TOLERANCE
    assert np.concatenate(errors).min() > -0.005


def test_decoded_edges_are_no_shorter_than_geodesics_and_near_the_trapezoid(surface):
    z = surface.points(np.random.default_rng(2), 200)
    source = surface.sources[0]
    ends = np.full(199, source), np.delete(np.arange(200), source)
    decoded = polyline_lengths(surface.decode, z, *ends, segments=64)
    assert (decoded >= 0.999 * surface.distances(z, z[source])[ends[1]]).all()  # 64 chords are a little shorter
    graph = knn_graph(z, 4)
    near = edges(graph)
    cached = measure_edges(z, pullback_metrics(surface.decode, z), *near)
    np.testing.assert_allclose(cached, polyline_lengths(surface.decode, z, *near, segments=64), rtol=0.05)
