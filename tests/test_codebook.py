"""Codebooks: clear clusters are found, medoids are data, and too many codes are refused."""

import numpy as np
import pytest

from geovq.checks import InputError
from geovq.codebook import fit_codes, kmeans_codes
from geovq.config import CODEBOOKS
from geovq.geometry import measure
from geovq.medoids import k_medoids

CENTRES = np.array([[0, 0], [10, 0], [0, 10]], np.float32)


@pytest.fixture
def latents() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (CENTRES[:, None] + 0.3 * rng.standard_normal((3, 30, 2))).reshape(-1, 2).astype(np.float32)


@pytest.fixture
def geometry(latents):
    return measure(lambda z: 2 * z, latents.reshape(-1, 1, 1, 2), neighbours=5)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_three_clusters_get_a_code_each(name, latents, geometry):
    codes = fit_codes(name, latents, geometry, 3, seed=0)
    assert codes.dtype == np.float32
    nearest = [np.linalg.norm(codes - centre, axis=1).min() for centre in CENTRES]
    assert max(nearest) < 0.5


@pytest.mark.parametrize("name", CODEBOOKS)
def test_same_seed_same_codes(name, latents, geometry):
    first, again = (fit_codes(name, latents, geometry, 7, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["euclidean", "geodesic"])
def test_medoids_are_distinct_latents(name, latents, geometry):
    codes = fit_codes(name, latents, geometry, 10, seed=0)
    rows = {row.tobytes() for row in latents}
    assert len({code.tobytes() for code in codes}) == 10
    assert all(code.tobytes() in rows for code in codes)


@pytest.mark.parametrize(("name", "graph"), [("euclidean", "straight"), ("geodesic", "geodesic")])
def test_both_medoid_codebooks_are_medoids_of_the_graph_with_their_lengths(name, graph, latents, geometry):
    medoids = k_medoids(getattr(geometry, graph), 6, weights=geometry.weights, seed=2).medoids
    np.testing.assert_array_equal(fit_codes(name, latents, geometry, 6, seed=2), geometry.nodes[medoids])


def test_the_metric_decides_where_geodesic_medoids_lie():
    """Latents on a line, half of which the decoder stretches: more medoids go there."""
    line = np.linspace(-1, 1, 201, dtype=np.float32).reshape(-1, 1, 1, 1)
    geometry = measure(lambda z: 100 * z * (z > 0) + z * (z <= 0), line, neighbours=2)
    straight = fit_codes("euclidean", line.reshape(-1, 1), geometry, 10, seed=0)
    geodesic = fit_codes("geodesic", line.reshape(-1, 1), geometry, 10, seed=0)
    assert 4 <= (straight > 0).sum() <= 6
    assert (geodesic > 0).sum() >= 8


@pytest.mark.parametrize("name", CODEBOOKS)
@pytest.mark.parametrize("k", [0, 4])
def test_more_codes_than_distinct_latents_are_refused(name, k):
    latents = np.array([[0], [0], [1], [2]], np.float32)
    geometry = measure(lambda z: z, latents.reshape(-1, 1, 1, 1), neighbours=1)
    with pytest.raises(InputError, match=rf"K in 1..3, .* found {k}"):
        fit_codes(name, latents, geometry, k, seed=0)


def test_kmeans_draws_from_many_latents(monkeypatch, latents):
    monkeypatch.setattr("geovq.codebook._KMEANS_POINTS", 20)
    with pytest.raises(InputError, match=r"K in 1\.\.20"):
        kmeans_codes(latents, 21, seed=1)
    assert kmeans_codes(latents, 3, seed=1).shape == (3, 2)


def test_unknown_codebook_is_refused(latents, geometry):
    with pytest.raises(InputError, match="kmeans, euclidean, geodesic, found 'gaussian'"):
        fit_codes("gaussian", latents, geometry, 3, seed=0)
