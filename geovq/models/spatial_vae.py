"""SpatialVAE: images -> a grid of Gaussian latents -> images, and its evidence lower bound.

The posterior mean of a token is its latent. Nothing depends on the rest of the batch, and nothing is random unless a key
is given, so that the decoder has a pullback metric.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from geovq.decoder.adapters import from_nnx
from geovq.models.config import VAEConfig
from geovq.models.rate import token_bits
from geovq.validation import InputError


def resolutions(config: VAEConfig) -> list[tuple[int, int]]:
    """Sizes that the encoder passes through, image first, each half of the one before, down to the grid or just above.

    Args:
        config: Sizes of the VAE.

    Returns:
        At least two (height, width) pairs; the last is the grid, or the smallest that is not below it, from which the
        grid is resized. An image that cannot be halved appears twice.

    Raises:
        InputError: A size that is not positive, or a grid larger than the image.
    """
    height, width, channels = config.image_shape
    h, w = config.grid
    if min(height, width, channels, h, w, config.latent_dim, config.width, config.max_width) < 1:
        raise InputError(f"VAE: expected sizes of at least 1, found {config}.")
    if h > height or w > width:
        raise InputError(f"VAE: expected a grid within the image's {height}x{width}, found {h}x{w}; make it smaller.")
    sizes = [(height, width)]
    while sizes[-1] != (h, w) and _half(sizes[-1])[0] >= h and _half(sizes[-1])[1] >= w:
        sizes.append(_half(sizes[-1]))
    return sizes if len(sizes) > 1 else [*sizes, *sizes]


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def depth_to_space(x: Float[Array, "n h w c4"]) -> Float[Array, "n h2 w2 c"]:
    """Each pixel's channels become a 2x2 block of pixels: (n, h, w, 4c) -> (n, 2h, 2w, c)."""
    n, h, w, c4 = x.shape
    blocks = x.reshape(n, h, w, 2, 2, c4 // 4)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c4 // 4)


def resize(x: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Linear resize to (h2, w2); the identity where the size is right already."""
    if x.shape[1:3] == size:
        return x
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "linear")


class Residual(nnx.Module):
    """x + two 3x3 convolutions of it, of which the second starts small."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        """Convolutions of `width` channels."""
        small = nnx.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
        self.first = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.second = nnx.Conv(width, width, (3, 3), kernel_init=small, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Same shape."""
        return x + self.second(nnx.silu(self.first(nnx.silu(x))))


class Down(nnx.Module):
    """A convolution to half the size (or to the same size), then a residual block."""

    def __init__(self, channels: int, width: int, stride: int, *, rngs: nnx.Rngs):
        """From `channels` to `width` channels."""
        self.conv = nnx.Conv(channels, width, (4, 4), strides=stride, rngs=rngs)
        self.block = Residual(width, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """(n, h, w, channels) -> (n, ⌈h/stride⌉, ⌈w/stride⌉, width)."""
        return self.block(self.conv(x))


class Up(nnx.Module):
    """A residual block, then a convolution and depth-to-space to twice the size, cropped to `size`.

    A transposed convolution would do the same; its gradient is ten times slower on CPU and it leaves checkerboards.
    """

    def __init__(self, width: int, channels: int, stride: int, size: tuple[int, int], *, rngs: nnx.Rngs):
        """From `width` to `channels` channels."""
        self.block = Residual(width, rngs=rngs)
        self.conv = nnx.Conv(width, channels * stride**2, (3, 3), rngs=rngs)
        self.stride = stride
        self.size = size

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """(n, h, w, width) -> (n, *size, channels)."""
        x = self.conv(nnx.silu(self.block(x)))
        if self.stride == 2:
            x = depth_to_space(x)
        return x[:, : self.size[0], : self.size[1]]


class SpatialVAE(nnx.Module):
    """Convolutional VAE whose latents form a grid: (H, W, C) -> (h, w, d) -> (H, W, C).

    Sizes are halved by strided convolutions until the next half would fall below the grid; what remains is a linear
    resize. The decoder mirrors the encoder. No transposed convolutions and no batch statistics.
    """

    def __init__(self, config: VAEConfig, key: PRNGKeyArray):
        """Initialises both networks.

        Args:
            config: Sizes.
            key: Of the initial parameters.

        Raises:
            InputError: Impossible sizes.
        """
        rngs = nnx.Rngs(key)
        sizes = resolutions(config)
        channels = config.image_shape[2]
        widths = [channels] + [min(config.width << level, config.max_width) for level in range(len(sizes) - 1)]
        levels = [
            (a, b, 1 if fine == coarse else 2, fine)
            for a, b, fine, coarse in zip(widths, widths[1:], sizes, sizes[1:], strict=False)
        ]
        self.config = config
        self.coarsest = sizes[-1]
        self.down = nnx.List([Down(a, b, stride, rngs=rngs) for a, b, stride, _ in levels])
        self.posterior = nnx.Conv(widths[-1], 2 * config.latent_dim, (3, 3), rngs=rngs)
        self.first = nnx.Conv(config.latent_dim, widths[-1], (3, 3), rngs=rngs)
        self.up = nnx.List([Up(b, a, stride, size, rngs=rngs) for a, b, stride, size in reversed(levels)])
        found = jax.eval_shape(self.decode, jnp.zeros((1, *config.grid, config.latent_dim))).shape[1:]
        if found != tuple(config.image_shape):
            raise InputError(f"VAE: expected a decoder to {config.image_shape}, found {found}; choose another grid.")

    def posteriors(self, images: Float[Array, "n H W C"]) -> tuple[Float[Array, "n h w d"], Float[Array, "n h w d"]]:
        """Mean and log variance of every token's Gaussian posterior."""
        x = images
        for down in self.down:
            x = down(x)
        mean, logvar = jnp.split(self.posterior(resize(nnx.silu(x), self.config.grid)), 2, axis=-1)
        return mean, logvar

    def encode(self, images: Float[Array, "n H W C"]) -> Float[Array, "n h w d"]:
        """Latents: posterior means of images in [0, 1]."""
        return self.posteriors(images)[0]

    def decode(self, latents: Float[Array, "n h w d"]) -> Float[Array, "n H W C"]:
        """Images of latents, in (0, 1)."""
        x = self.first(resize(latents, self.coarsest))
        for up in self.up:
            x = up(x)
        return nnx.sigmoid(4 * x - 2)  # slope 1 where it is steepest, and dark to begin with, as most pixels are


class Elbo(NamedTuple):
    """Negative evidence lower bound of every image, and its parts."""

    nats: Float[Array, " n"]
    """Negative bound, nats per image (of a density, so it may be negative)."""
    squared_error: Float[Array, " n"]
    """Summed over the pixels of the image, intensity²."""
    bits: Float[Array, "n h w"]
    """KL divergence of every token's posterior from the unit Gaussian."""


def negative_elbo(vae: SpatialVAE, images: Float[Array, "n H W C"], noise_variance: float, key: PRNGKeyArray) -> Elbo:
    """Gaussian evidence lower bound (Kingma & Welling 2014) with one sample of the posterior.

    p(x|z) is Gaussian around the decoded image with variance `noise_variance` in every pixel. That variance is the β of a
    β-VAE: minimising squared error / (2β) + KL. A larger one leaves fewer bits in a token.

    Args:
        vae: The model.
        images: In [0, 1], (n, H, W, C).
        noise_variance: β, in intensity².
        key: Of the posterior samples.

    Returns:
        The bound and its parts, of each image.
    """
    mean, logvar = vae.posteriors(images)
    latents = mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape)
    squared_error = jnp.sum((vae.decode(latents) - images) ** 2, axis=(1, 2, 3))
    bits = token_bits(mean, logvar)
    pixels = math.prod(vae.config.image_shape)
    nats = squared_error / (2 * noise_variance) + 0.5 * pixels * math.log(2 * math.pi * noise_variance)
    return Elbo(nats + math.log(2) * bits.sum(axis=(1, 2)), squared_error, bits)


def callables(vae: SpatialVAE) -> tuple[Partial, Partial]:
    """Compiled encoder and decoder of batches, as pure functions that carry the parameters with them.

    Args:
        vae: The model; later changes to it are not seen.

    Returns:
        encode, (n, H, W, C) -> (n, h, w, d), and decode, (n, h, w, d) -> (n, H, W, C).
    """
    return from_nnx(vae, "encode"), from_nnx(vae, "decode")
