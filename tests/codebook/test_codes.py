"""Codebooks: clear clusters are found, medoids are data, and too many codes are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.nearest import assign_euclidean, assign_local, assign_whitened
from geovq.codebook.codes import fit_codes
from geovq.codebook.metric_kmeans import full_rank
from geovq.codebook.names import CODEBOOKS, COMPOSITIONS
from geovq.geometry.measured import measure
from geovq.medoids.search import k_medoids
from geovq.numerics.additive import summed
from geovq.validation import InputError

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


def test_kmeans_draws_from_many_latents(monkeypatch, latents, geometry):
    monkeypatch.setattr("geovq.codebook.codes.POINTS", 20)
    with pytest.raises(InputError, match=r"K in 1\.\.20"):
        fit_codes("kmeans", latents, geometry, 21, seed=1)
    assert fit_codes("kmeans", latents, geometry, 3, seed=1).shape == (3, 2)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_no_code_is_dead_on_the_training_set(name, rng):
    """Under the assignment that a codebook is made for; a decoder that stretches one half unevenly."""
    latents = rng.standard_normal((60, 2, 2, 3)).astype(np.float32)
    geometry = measure(lambda z: jnp.exp(z) * jnp.array([1.0, 0.1, 3.0])[None, None], latents, neighbours=6)
    codes = fit_codes(name, latents.reshape(-1, 3), geometry, 40, seed=0)
    tokens = {
        "kmeans": lambda: assign_euclidean(geometry.nodes, codes),
        "euclidean": lambda: assign_euclidean(geometry.nodes, codes),
        "geodesic": lambda: assign_local(geometry.nodes, codes, geometry.metrics),
        "whitened": lambda: assign_whitened(geometry.nodes, codes, geometry.mean_metric),
        "metric": lambda: assign_local(geometry.nodes, codes, full_rank(geometry.metrics, geometry.mean_metric)),
    }["metric" if name == "refined" else name]()  # codes are refined from those of metric means, in geovq.codebook.fit
    assert len(np.unique(tokens)) == 40


@pytest.mark.parametrize("stacking", COMPOSITIONS)
@pytest.mark.parametrize("name", ["kmeans", "whitened", "metric"])
def test_more_stages_come_nearer(name, stacking, rng):
    latents = (rng.standard_normal((100, 2, 2, 4)) * np.array([3, 1, 1, 0.3])).astype(np.float32)
    geometry = measure(lambda z: jnp.sin(z) + 2 * z, latents, neighbours=6)
    flat = latents.reshape(-1, 4)
    errors = []
    for stages in (1, 2, 3):
        codes = fit_codes(name, flat, geometry, 8, stages=stages, stacking=stacking, seed=0)
        assert codes.shape == ((8, 4) if stages == 1 else (stages, 8, 4))
        tokens = assign_whitened(flat, codes, geometry.mean_metric).reshape(len(flat), -1)
        moves = flat - summed(codes.reshape(stages, 8, 4), tokens)
        errors.append(np.einsum("ni,ij,nj->n", moves, geometry.mean_metric, moves).mean())
    assert errors[2] < 0.8 * errors[1] < 0.8 * 0.8 * errors[0]


def test_product_stages_are_orthogonal_under_the_mean_metric(rng):
    latents = (rng.standard_normal((100, 2, 2, 4)) * np.array([3, 1, 1, 0.3])).astype(np.float32)
    mixing = jnp.asarray(rng.standard_normal((4, 6)), jnp.float32)
    geometry = measure(lambda z: z @ mixing, latents, neighbours=6)
    first, second = fit_codes("whitened", latents.reshape(-1, 4), geometry, 8, stages=2, stacking="product", seed=0)
    inner = (first - first.mean(0)) @ geometry.mean_metric @ (second - second.mean(0)).T
    np.testing.assert_allclose(inner, 0, atol=1e-2 * np.abs(first @ geometry.mean_metric @ first.T).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": 5}, r"stages: expected 1\.\.4 for the codebook kmeans"),
        ({"stages": 3, "stacking": "product"}, r"stages: expected 1\.\.2 .* and 2 latent dimensions"),
        ({"stacking": "sum"}, "stacking: expected one of residual, product, found 'sum'"),
    ],
)
def test_impossible_stages_are_refused(options, message, latents, geometry):
    with pytest.raises(InputError, match=message):
        fit_codes("kmeans", latents, geometry, 3, seed=0, **options)
    with pytest.raises(InputError, match=r"expected 1\.\.1 for the codebook geodesic"):
        fit_codes("geodesic", latents, geometry, 3, stages=2, seed=0)


def test_unknown_codebook_is_refused(latents, geometry):
    with pytest.raises(InputError, match="euclidean, geodesic, found 'gaussian'"):
        fit_codes("gaussian", latents, geometry, 3, seed=0)
