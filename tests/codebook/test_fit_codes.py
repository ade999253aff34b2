"""Codebooks: clear clusters are found, medoids are data, and too many codes are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.nearest_codes import nearest_tokens, nearest_tokens_under, nearest_tokens_whitened
from geovq.codebook.fit import fit_codes
from geovq.codebook.metric_kmeans import full_rank
from geovq.codebook.names import CODEBOOKS, COMPOSITIONS
from geovq.codebook.recipe import Recipe
from geovq.geometry.measured import measure
from geovq.medoids.search import k_medoids
from geovq.numerics.additive import sum_codes
from geovq.validation import InputError

CENTRES = np.array([[0, 0], [10, 0], [0, 10]], np.float32)


@pytest.fixture
def latents() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (CENTRES[:, None] + 0.3 * rng.standard_normal((3, 30, 2))).reshape(-1, 2).astype(np.float32)


@pytest.fixture
def geometry(latents):
    return measure(lambda z: 2 * z, latents.reshape(-1, 1, 1, 2), num_neighbours=5)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_three_clusters_get_a_code_each(name, latents, geometry):
    codes = fit_codes(Recipe(name, 3), latents, geometry)[0]
    assert codes.dtype == np.float32
    nearest = [np.linalg.norm(codes - centre, axis=1).min() for centre in CENTRES]
    assert max(nearest) < 0.5


@pytest.mark.parametrize("name", CODEBOOKS)
def test_same_seed_same_codes(name, latents, geometry):
    first, again = (fit_codes(Recipe(name, 7, seed=3), latents, geometry) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["euclidean", "geodesic"])
def test_medoids_are_distinct_latents(name, latents, geometry):
    codes = fit_codes(Recipe(name, 10), latents, geometry)[0]
    rows = {row.tobytes() for row in latents}
    assert len({code.tobytes() for code in codes}) == 10
    assert all(code.tobytes() in rows for code in codes)


@pytest.mark.parametrize(("name", "graph"), [("euclidean", "straight"), ("geodesic", "geodesic")])
def test_both_medoid_codebooks_are_medoids_of_the_graph_with_their_lengths(name, graph, latents, geometry):
    medoids = k_medoids(getattr(geometry, graph), 6, weights=geometry.weights, seed=2).medoids
    found = fit_codes(Recipe(name, 6, seed=2), latents, geometry)
    np.testing.assert_array_equal(found, geometry.nodes[medoids][None])


def test_the_metric_decides_where_geodesic_medoids_lie():
    """Latents on a line, half of which the decoder stretches: more medoids go there."""
    line = np.linspace(-1, 1, 201, dtype=np.float32).reshape(-1, 1, 1, 1)
    geometry = measure(lambda z: 100 * z * (z > 0) + z * (z <= 0), line, num_neighbours=2)
    straight = fit_codes(Recipe("euclidean", 10), line.reshape(-1, 1), geometry)
    geodesic = fit_codes(Recipe("geodesic", 10), line.reshape(-1, 1), geometry)
    assert 4 <= (straight > 0).sum() <= 6
    assert (geodesic > 0).sum() >= 8


@pytest.mark.parametrize("name", CODEBOOKS)
@pytest.mark.parametrize("k", [0, 4])
def test_more_codes_than_distinct_latents_are_refused(name, k):
    latents = np.array([[0], [0], [1], [2]], np.float32)
    geometry = measure(lambda z: z, latents.reshape(-1, 1, 1, 1), num_neighbours=1)
    with pytest.raises(InputError, match=rf"K in 1..3, .* found {k}"):
        fit_codes(Recipe(name, k), latents, geometry)


def test_kmeans_draws_from_many_latents(monkeypatch, latents, geometry):
    monkeypatch.setattr("geovq.codebook.fit.POINTS", 20)
    with pytest.raises(InputError, match=r"K in 1\.\.20"):
        fit_codes(Recipe("kmeans", 21, seed=1), latents, geometry)
    assert fit_codes(Recipe("kmeans", 3, seed=1), latents, geometry).shape == (1, 3, 2)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_no_code_is_dead_on_the_training_set(name, rng):
    """Under the assignment that a codebook is made for; a decoder that stretches one half unevenly."""
    latents = rng.standard_normal((60, 2, 2, 3)).astype(np.float32)
    geometry = measure(lambda z: jnp.exp(z) * jnp.array([1.0, 0.1, 3.0])[None, None], latents, num_neighbours=6)
    codes = fit_codes(Recipe(name, 40), latents.reshape(-1, 3), geometry)
    own = full_rank(geometry.metrics, geometry.mean_metric)
    tokens = {
        "kmeans": lambda: nearest_tokens(geometry.nodes, codes),
        "euclidean": lambda: nearest_tokens(geometry.nodes, codes),
        "geodesic": lambda: nearest_tokens_under(geometry.nodes, codes, geometry.metrics),
        "whitened": lambda: nearest_tokens_whitened(geometry.nodes, codes, geometry.mean_metric),
        "metric": lambda: nearest_tokens_under(geometry.nodes, codes, own),
    }["metric" if name == "refined" else name]()  # refined codes start from metric ones, see geovq.codebook.refine
    assert len(np.unique(tokens)) == 40


@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("name", ["kmeans", "whitened", "metric"])
def test_more_quantizers_come_nearer(name, composition, rng):
    latents = (rng.standard_normal((100, 2, 2, 4)) * np.array([3, 1, 1, 0.3])).astype(np.float32)
    geometry = measure(lambda z: jnp.sin(z) + 2 * z, latents, num_neighbours=6)
    flat = latents.reshape(-1, 4)
    errors = []
    for count in (1, 2, 3):
        codes = fit_codes(Recipe(name, 8, count, composition), flat, geometry)
        assert codes.shape == (count, 8, 4)
        moves = flat - sum_codes(codes, nearest_tokens_whitened(flat, codes, geometry.mean_metric))
        errors.append(np.einsum("ni,ij,nj->n", moves, geometry.mean_metric, moves).mean())
    assert errors[2] < 0.8 * errors[1] < 0.8 * 0.8 * errors[0]


def test_product_codes_are_orthogonal_under_the_mean_metric(rng):
    latents = (rng.standard_normal((100, 2, 2, 4)) * np.array([3, 1, 1, 0.3])).astype(np.float32)
    mixing = jnp.asarray(rng.standard_normal((4, 6)), jnp.float32)
    geometry = measure(lambda z: z @ mixing, latents, num_neighbours=6)
    first, second = fit_codes(Recipe("whitened", 8, 2, "product"), latents.reshape(-1, 4), geometry)
    inner = (first - first.mean(0)) @ geometry.mean_metric @ (second - second.mean(0)).T
    np.testing.assert_allclose(inner, 0, atol=1e-2 * np.abs(first @ geometry.mean_metric @ first.T).max())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("kmeans", 3, 65), r"num_quantizers: expected 1\.\.64 for the codebook kmeans"),
        (Recipe("kmeans", 3, 3, "product"), r"num_quantizers: expected 1\.\.2 .* and 2 latent dimensions"),
        (Recipe("kmeans", 3, composition="sum"), "composition: expected one of residual, product, found 'sum'"),  # type: ignore[arg-type]
        (Recipe("geodesic", 3, 2), r"expected 1\.\.1 for the codebook geodesic"),
        (Recipe("gaussian", 3), "euclidean, geodesic, found 'gaussian'"),  # type: ignore[arg-type]
        (Recipe("kmeans", 3, seed=-1), "seed: expected a whole number in 0.."),
    ],
)
def test_impossible_recipes_are_refused(recipe, message, latents, geometry):
    with pytest.raises(InputError, match=message):
        fit_codes(recipe, latents, geometry)
