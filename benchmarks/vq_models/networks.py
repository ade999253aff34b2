"""Convolutional networks with vector-quantized latents: one code a token, or several of which each quantizes a residual."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from benchmarks.vq_models.schedules import Model
from geovq.assignment.nearest_codes import nearest_codes
from geovq.models.spatial_vae import Residual, depth_to_space


class Encoder(nnx.Module):
    """Images -> latents before quantization."""

    def __init__(self, model: Model, *, rngs: nnx.Rngs):
        """Convolutions of stride 2 with a residual block each, and one to d channels."""
        widths = [3, model.width // 2, *[model.width] * (model.downs - 1)]
        self.downs = nnx.List([nnx.Conv(a, b, (4, 4), strides=2, rngs=rngs) for a, b in itertools.pairwise(widths)])
        self.blocks = nnx.List([Residual(width, rngs=rngs) for width in widths[1:]])
        self.last = nnx.Conv(model.width, model.d, (1, 1), rngs=rngs)

    def __call__(self, images: Float[Array, "n H W 3"]) -> Float[Array, "n h w d"]:
        """Latents."""
        x = 2 * images - 1
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(nnx.silu(x) if x.shape[-1] > 3 else x))
        return self.last(nnx.silu(x))


class Decoder(nnx.Module):
    """Quantized latents -> images."""

    def __init__(self, model: Model, *, rngs: nnx.Rngs):
        """A convolution and a block on the grid; then blocks, each followed by a convolution to twice the size."""
        widths = [*[model.width] * (model.downs - 1), model.width // 2, 3]
        self.first = nnx.Conv(model.d, widths[0], (3, 3), rngs=rngs)
        self.blocks = nnx.List([Residual(width, rngs=rngs) for width in widths[:-1]])
        self.ups = nnx.List([nnx.Conv(a, 4 * b, (3, 3), rngs=rngs) for a, b in itertools.pairwise(widths)])

    def __call__(self, latents: Float[Array, "n h w d"]) -> Float[Array, "n H W 3"]:
        """Images, in about [0, 1]."""
        x = self.first(latents)
        for block, up in zip(self.blocks, self.ups, strict=True):
            x = depth_to_space(up(nnx.silu(block(x))))
        return (x + 1) / 2


class Networks(nnx.Module):
    """Encoder and decoder."""

    def __init__(self, model: Model, *, rngs: nnx.Rngs):
        """Both with initial parameters."""
        self.encoder = Encoder(model, rngs=rngs)
        self.decoder = Decoder(model, rngs=rngs)


class Quantized(NamedTuple):
    """What residual quantization makes of n latents."""

    tokens: Int[Array, "n S"]
    inputs: Float[Array, "S n d"]
    """What each quantizer has quantized."""
    sums: Float[Array, "n d"]
    """The codes of every latent, added up."""


def quantize(latents: Float[Array, "n d"], codes: Float[Array, "S K d"]) -> Quantized:
    """Nearest codes, one quantizer after the other: what such models do (Lee et al. 2022, "RQ-VAE")."""
    residual, tokens, inputs = latents, [], []
    for each in codes:
        inputs.append(residual)
        tokens.append(nearest_codes(residual, each))
        residual = residual - each[tokens[-1]]
    return Quantized(jnp.stack(tokens, axis=-1), jnp.stack(inputs), latents - residual)


quantize_all = jax.jit(quantize)
