"""Any codebook by its name, from images: statistics of the right shape, and no dead code on the training images."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.nearest_codes import nearest_tokens, nearest_tokens_whitened
from geovq.codebook.fit import fit_codebook
from geovq.codebook.names import CODEBOOKS
from geovq.codebook.recipe import Recipe
from geovq.geometry.measured import measure


def decode(latents):
    return jnp.tanh(latents @ jnp.array([[1.0, 0.5, 0.0], [0.2, 2.0, 0.1]])).reshape(len(latents), 2, 2, 3)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_every_codebook(name, rng):
    latents = rng.standard_normal((80, 2, 2, 2)).astype(np.float32)
    images = np.clip(np.asarray(decode(latents)), 0, 1)
    geometry = measure(lambda z: decode(z[None])[0], latents, num_neighbours=6)
    found = fit_codebook(Recipe(name, 30), decode, images, latents, geometry)
    assert found.codes.shape == (1, 30, 2)
    assert found.position_metrics.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(found.mean_metric, geometry.mean_metric, rtol=1e-5)
    flat = latents.reshape(-1, 2)
    if name in ("kmeans", "euclidean"):
        assert len(np.unique(nearest_tokens(flat, found.codes))) == 30
    if name in ("whitened", "refined"):
        assert len(np.unique(nearest_tokens_whitened(flat, found.codes, found.mean_metric))) == 30


def test_bytes_refine_codes_as_floats_do(rng):
    latents = rng.standard_normal((40, 2, 2, 2)).astype(np.float32)
    images = np.round(255 * np.clip(np.asarray(decode(latents)), 0, 1)).astype(np.uint8)
    geometry = measure(lambda z: decode(z[None])[0], latents, num_neighbours=6)
    found, floats = (
        fit_codebook(Recipe("refined", 10), decode, some, latents, geometry).codes for some in (images, images / 255)
    )
    np.testing.assert_allclose(found, floats, atol=1e-4)
