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
from jaxtyping import Array, Float

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


def resize(x: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """Linear resize to (h2, w2); the identity where the size is right already."""
    if x.shape[1:3] == size:
        return x
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "linear")


def depth_to_space(x: Float[Array, "n h w c4"]) -> Float[Array, "n h2 w2 c"]:
    """Each pixel's channels become a 2x2 block of pixels: (n, h, w, 4c) -> (n, 2h, 2w, c).

    As `dm_pix.depth_to_space`; written out, so that the networks need no package that accelerator machines lack.
    """
    n, h, w, c4 = x.shape
    blocks = x.reshape(n, h, w, 2, 2, c4 // 4)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c4 // 4)


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


class _Level(NamedTuple):
    """One step between two resolutions."""

    fine: int
    """Channels at the finer resolution."""
    coarse: int
    """Channels at the coarser resolution."""
    stride: int
    size: tuple[int, int]
    """Height and width at the finer resolution."""


def _levels(config: VAEConfig) -> list[_Level]:
    """The steps from the image to the coarsest resolution."""
    sizes = resolutions(config)
    widths = [config.image_shape[2]]
    widths += [min(config.width << level, config.max_width) for level in range(len(sizes) - 1)]
    return [
        _Level(fine, coarse, 1 if size == below else 2, size)
        for fine, coarse, size, below in zip(widths, widths[1:], sizes, sizes[1:], strict=False)
    ]


class Encoder(nnx.Module):
    """Images -> the posterior means of a grid of latents."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        """Initial weights.

        Raises:
            InputError: Impossible sizes.
        """
        levels = _levels(config)
        self.grid = config.grid
        self.down = nnx.List([Down(level.fine, level.coarse, level.stride, rngs=rngs) for level in levels])
        self.posterior = nnx.Conv(levels[-1].coarse, 2 * config.latent_dim, (3, 3), rngs=rngs)

    def __call__(self, images: Float[Array, "n H W C"]) -> Float[Array, "n h w d"]:
        """Latents: posterior means of images in [0, 1]."""
        return self.posteriors(images)[0]

    def posteriors(self, images: Float[Array, "n H W C"]) -> tuple[Float[Array, "n h w d"], Float[Array, "n h w d"]]:
        """Mean and log variance of every token's Gaussian posterior."""
        x = images
        for down in self.down:
            x = down(x)
        mean, logvar = jnp.split(self.posterior(resize(nnx.silu(x), self.grid)), 2, axis=-1)
        return mean, logvar


class Decoder(nnx.Module):
    """A grid of latents -> images in (0, 1)."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        """Initial weights.

        Raises:
            InputError: Impossible sizes.
        """
        levels = _levels(config)
        self.coarsest = resolutions(config)[-1]
        self.first = nnx.Conv(config.latent_dim, levels[-1].coarse, (3, 3), rngs=rngs)
        self.up = nnx.List(
            [Up(level.coarse, level.fine, level.stride, level.size, rngs=rngs) for level in reversed(levels)]
        )

    def __call__(self, latents: Float[Array, "n h w d"]) -> Float[Array, "n H W C"]:
        """Images of latents."""
        x = self.first(resize(latents, self.coarsest))
        for up in self.up:
            x = up(x)
        return nnx.sigmoid(4 * x - 2)  # slope 1 where it is steepest, and dark to begin with, as most pixels are


class SpatialVAE(nnx.Module):
    """Convolutional VAE whose latents form a grid: (H, W, C) -> (h, w, d) -> (H, W, C).

    Sizes are halved by strided convolutions until the next half would fall below the grid; what remains is a linear
    resize. The decoder mirrors the encoder. No transposed convolutions and no batch statistics.
    """

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        """Initial weights of both networks.

        Args:
            config: Sizes.
            rngs: Source of the initial weights.

        Raises:
            InputError: Impossible sizes.
        """
        self.config = config
        self.encoder = Encoder(config, rngs=rngs)
        self.decoder = Decoder(config, rngs=rngs)
        found = jax.eval_shape(self.decoder, jnp.zeros((1, *config.grid, config.latent_dim))).shape[1:]
        if found != tuple(config.image_shape):
            raise InputError(f"VAE: expected a decoder to {config.image_shape}, found {found}; choose another grid.")


class Elbo(NamedTuple):
    """Negative evidence lower bound of every image, and its parts."""

    nats: Float[Array, " n"]
    """Negative bound, nats per image (of a density, so it may be negative)."""
    squared_error: Float[Array, " n"]
    """Summed over the pixels of the image, intensity²."""
    bits: Float[Array, "n h w"]
    """KL divergence of every token's posterior from the unit Gaussian."""


def negative_elbo(
    vae: SpatialVAE, images: Float[Array, "n H W C"], noise_variance: float, noise: Float[Array, "n h w d"]
) -> Elbo:
    """Gaussian evidence lower bound (Kingma & Welling 2014) with one sample of the posterior.

    p(x|z) is Gaussian around the decoded image with variance `noise_variance` in every pixel. That variance is the β of a
    β-VAE: minimising squared error / (2β) + KL. A larger one leaves fewer bits in a token.

    Args:
        vae: The model.
        images: In [0, 1], (n, H, W, C).
        noise_variance: β, in intensity².
        noise: Standard normal; places the sample in the posterior of each latent.

    Returns:
        The bound of each image, and its parts.
    """
    mean, logvar = vae.encoder.posteriors(images)
    latents = mean + jnp.exp(0.5 * logvar) * noise
    squared_error = jnp.sum((vae.decoder(latents) - images) ** 2, axis=(1, 2, 3))
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
    return from_nnx(vae.encoder), from_nnx(vae.decoder)
