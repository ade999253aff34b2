"""Any codebook by its name, from images: statistics of the right shape, and no dead code on the training images."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.nearest import assign_euclidean, assign_whitened
from geovq.codebook.codes import without_dead
from geovq.codebook.fit import Recipe, fit_codebook
from geovq.codebook.names import CODEBOOKS
from geovq.geometry.measured import measure


def decode(latents):
    return jnp.tanh(latents @ jnp.array([[1.0, 0.5, 0.0], [0.2, 2.0, 0.1]])).reshape(len(latents), 2, 2, 3)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_every_codebook(name, rng):
    latents = rng.standard_normal((80, 2, 2, 2)).astype(np.float32)
    images = np.clip(np.asarray(decode(latents)), 0, 1)
    geometry = measure(lambda z: decode(z[None])[0], latents, neighbours=6)
    found = fit_codebook(Recipe(name, 30), decode, images, latents, geometry, with_field=True)
    assert found.codes.shape == (30, 2)
    assert found.position_metrics.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(found.mean_metric, geometry.mean_metric, rtol=1e-5)
    assert found.field is not None
    flat = latents.reshape(-1, 2)
    if name in ("kmeans", "euclidean"):
        assert len(np.unique(assign_euclidean(flat, found.codes))) == 30
    if name in ("whitened", "refined"):
        assert len(np.unique(assign_whitened(flat, found.codes, found.mean_metric))) == 30
    as_bytes = fit_codebook(Recipe(name, 30), decode, np.round(images * 255).astype(np.uint8), latents, geometry)
    assert as_bytes.codes.shape == (30, 2)
    assert as_bytes.field is None


def test_dead_codes_come_back(rng):
    latents, metric = rng.standard_normal((100, 3)).astype(np.float32), np.diag([4.0, 1.0, 0.2]).astype(np.float32)
    codes = np.concatenate([latents[:5], np.full((5, 3), 40, np.float32)])
    found = without_dead(codes, latents, metric)
    assert len(np.unique(assign_whitened(latents, found, metric))) == 10
    np.testing.assert_array_equal(found[:5], codes[:5])
