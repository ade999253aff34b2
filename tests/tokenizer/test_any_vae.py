"""Any VAE is a pair of functions: an nnx module, a Linen module, plain functions; other grids, sizes and channels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import from_linen, from_nnx
from geovq.tokenizer.tokenizer import Tokenizer

CHEAP = Joint(jacobians=1, corrections=0)


class NnxVAE(nnx.Module):
    """8x8 grids of 32x32x3 images, by one convolution each way."""

    def __init__(self, rngs: nnx.Rngs):
        self.down = nnx.Conv(3, 4, (4, 4), strides=4, rngs=rngs)
        self.up = nnx.Conv(4, 48, (1, 1), rngs=rngs)

    def encode(self, images):
        return self.down(images)

    def decode(self, latents):
        n, h, w, _ = latents.shape
        blocks = self.up(latents).reshape(n, h, w, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
        return nnx.sigmoid(blocks.reshape(n, 4 * h, 4 * w, 3))


class LinenVAE(nn.Module):
    """A 1x1 grid of 4x4x1 images, by dense layers."""

    def setup(self):
        self.down, self.up = nn.Dense(3), nn.Dense(16)

    def __call__(self, images):
        return self.decode(self.encode(images))

    def encode(self, images):
        return self.down(images.reshape(-1, 1, 1, 16))

    def decode(self, latents):
        return nn.sigmoid(self.up(latents)).reshape(-1, 4, 4, 1)


def nnx_vae():
    vae = NnxVAE(nnx.Rngs(0))
    return from_nnx(vae, "encode"), from_nnx(vae, "decode"), (32, 32, 3), (8, 8)


def linen_vae():
    vae = LinenVAE()
    variables = vae.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    return from_linen(vae, variables, "encode"), from_linen(vae, variables, "decode"), (4, 4, 1), (1, 1)


def plain_functions():
    """2x2 grids of 4x6x1 images: a matrix and its transpose, carried as parameters."""
    weights = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0][:, :3].astype(np.float32)

    def encode(weights, images):
        blocks = images.reshape(-1, 2, 2, 2, 3, 1).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(-1, 2, 2, 6) @ weights

    def decode(weights, latents):
        blocks = (latents @ weights.T).reshape(-1, 2, 2, 2, 3, 1).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(-1, 4, 6, 1)

    return Partial(encode, weights), Partial(decode, weights), (4, 6, 1), (2, 2)


@pytest.mark.parametrize("make", [nnx_vae, linen_vae, plain_functions])
def test_images_become_tokens_and_back(make, tmp_path):
    encode, decode, shape, grid = make()
    images = np.random.default_rng(1).uniform(size=(12, *shape)).astype(np.float32)
    tokenizer = Tokenizer.fit(encode, decode, images, num_codes=6, num_neighbours=4, assigner=CHEAP, codebook="metric")
    tokens = tokenizer.encode(images)
    assert tokens.shape == (12, *grid)
    found = tokenizer.decode(tokens)
    assert found.shape == images.shape
    cheap = tokenizer.replace(assigner=Whitened())
    assert ((found - images) ** 2).sum() <= ((cheap.decode(cheap.encode(images)) - images) ** 2).sum()
    tokenizer.save(tmp_path / "t.npz", decoder=True)
    loaded = Tokenizer.load(tmp_path / "t.npz", encode, decode)
    np.testing.assert_array_equal(loaded.encode(images), tokens)


@pytest.mark.parametrize("make", [linen_vae, plain_functions])
def test_sketches_serve_as_well(make):
    encode, decode, shape, _ = make()
    images = np.random.default_rng(1).uniform(size=(20, *shape)).astype(np.float32)
    sketched = Joint(directions=8, jacobians=1, corrections=0)
    tokenizer = Tokenizer.fit(
        encode, decode, images, num_codes=6, num_neighbours=4, assigner=Greedy(initial=sketched), probes=8
    )
    cheap = tokenizer.replace(assigner=Whitened())
    errors = [((t.decode(t.encode(images)) - images) ** 2).sum() for t in (tokenizer, cheap)]
    assert errors[0] <= errors[1]
