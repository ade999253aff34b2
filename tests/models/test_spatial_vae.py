"""The VAE: shapes of any size, the bound against its formula, and what the metric asks of a decoder."""

import math

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.models.config import VAEConfig
from geovq.models.spatial_vae import SpatialVAE, callables, depth_to_space, negative_elbo, resize, resolutions
from geovq.validation import InputError
from tests import reference

SIZES = [
    ((28, 28, 1), (4, 4)),
    ((32, 32, 3), (8, 8)),
    ((28, 28, 1), (1, 1)),
    ((30, 20, 1), (5, 4)),
    ((7, 9, 2), (7, 9)),
    ((1, 1, 1), (1, 1)),
]


def small(shape=(8, 8, 1), grid=(2, 2)) -> SpatialVAE:
    return SpatialVAE(VAEConfig(shape, grid, latent_dim=3, width=4, max_width=8), rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("shape", "grid"), SIZES)
def test_any_image_and_grid_size(shape, grid):
    vae = small(shape, grid)
    latents = vae.encoder(jnp.zeros((2, *shape)))
    assert latents.shape == (2, *grid, 3)
    assert vae.decoder(latents).shape == (2, *shape)


def test_depth_becomes_space_as_in_dm_pix(rng):
    x = jnp.asarray(rng.standard_normal((2, 3, 5, 12)), jnp.float32)
    np.testing.assert_array_equal(depth_to_space(x), dm_pix.depth_to_space(x, 2))


def test_sizes_are_halved_down_to_the_grid():
    assert resolutions(VAEConfig((28, 28, 1), (4, 4))) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert resolutions(VAEConfig((32, 32, 3), (8, 8))) == [(32, 32), (16, 16), (8, 8)]
    assert resolutions(VAEConfig((30, 30, 1), (5, 5)))[-1] == (8, 8)  # the next half, 4, is below the grid


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (VAEConfig((28, 28, 1), (29, 4)), "grid within the image's 28x28, found 29x4"),
        (VAEConfig((28, 28, 1), (0, 4)), "sizes of at least 1"),
        (VAEConfig((28, 28, 1), (4, 4), latent_dim=0), "sizes of at least 1"),
    ],
)
def test_impossible_sizes_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        SpatialVAE(config, rngs=nnx.Rngs(0))


def test_resize_to_the_same_size_is_the_identity():
    x = jax.random.normal(jax.random.key(0), (1, 3, 5, 2))
    assert resize(x, (3, 5)) is x
    assert resize(x, (6, 4)).shape == (1, 6, 4, 2)


def test_bound_equals_its_formula():
    vae, beta, key = small(), 0.03, jax.random.key(5)
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 1))
    mean, logvar = map(np.asarray, vae.encoder.posteriors(images))
    noise = np.asarray(jax.random.normal(key, mean.shape))
    found = negative_elbo(vae, images, beta, jnp.asarray(noise))
    decoded = np.asarray(vae.decoder(jnp.asarray(mean + np.exp(logvar / 2) * noise)))
    for i in range(3):
        kl = reference.gaussian_kl(mean[i], logvar[i])
        density = [
            math.log(2 * math.pi * beta) / 2 + (x - y) ** 2 / (2 * beta)
            for x, y in zip(np.ravel(images[i]), np.ravel(decoded[i]), strict=True)
        ]
        np.testing.assert_allclose(found.nats[i], sum(density) + kl, rtol=1e-4)
        np.testing.assert_allclose(found.bits[i].mean(), kl / 4 / math.log(2), rtol=1e-4)
        np.testing.assert_allclose(found.squared_error[i], np.sum((images[i] - decoded[i]) ** 2), rtol=1e-4)


def test_no_image_influences_another():
    vae = small()
    images = jax.random.uniform(jax.random.key(1), (5, 8, 8, 1))
    latents = vae.encoder(images)
    np.testing.assert_allclose(vae.encoder(images[2:3])[0], latents[2], atol=1e-6)
    np.testing.assert_allclose(vae.decoder(latents[2:3])[0], vae.decoder(latents)[2], atol=1e-6)


def test_training_lowers_the_bound():
    vae = small()
    graphdef, params = nnx.split(vae)
    images = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))

    noise = jax.random.normal(jax.random.key(2), vae.encoder(images).shape)

    @jax.jit
    def step(params):
        def loss(p):
            return negative_elbo(nnx.merge(graphdef, p), images, 0.1, noise).nats.mean()

        value, gradients = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 1e-4 * g, params, gradients)

    first, params = step(params)
    for _ in range(30):
        last, params = step(params)
    assert last < first - 1


def test_callables_compile_once_for_models_of_one_structure():
    vae = small()
    encode, decode = callables(vae)
    np.testing.assert_allclose(
        decode(encode(jnp.zeros((2, 8, 8, 1)))), vae.decoder(vae.encoder(jnp.zeros((2, 8, 8, 1)))), atol=1e-6
    )
    other, _ = callables(SpatialVAE(vae.config, rngs=nnx.Rngs(1)))
    np.testing.assert_equal(jax.tree.structure(encode), jax.tree.structure(other))
