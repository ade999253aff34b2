"""Tiny autoencoders of every convention, with exact reconstructions: images of 2x2 blocks, whose colours are mixed to latents."""

import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

Pair = tuple[Any, Any]
"""An encoder and a decoder."""

MIX = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0][:3].astype(np.float32)
"""Three colours to four channels, with the transpose as inverse."""

SIZE = (8, 12)


def draw_images(n: int = 6, size: tuple[int, int] = SIZE, channels: int = 3) -> np.ndarray:
    """Images (n, H, W, C) of 2x2 blocks, lighter to the right and downwards, bluer or redder by image."""
    rng = np.random.default_rng(0)
    h, w = size[0] // 2, size[1] // 2
    ramp = 0.3 * np.linspace(0, 1, h)[:, None, None] + 0.5 * np.linspace(0, 1, w)[None, :, None] ** 2
    tint = np.linspace(0, 0.4, channels)[None, None, None] * rng.uniform(0.2, 1, (n, 1, 1, 1))
    small = 0.05 + 0.55 * ramp[None] + tint + 0.15 * rng.uniform(size=(n, h, w, channels))
    return small.clip(0, 1).repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)


def shrink(x: Any) -> Any:
    """(n, H, W, C) -> (n, H/2, W/2, C)."""
    n, height, width, c = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, c).mean(axis=(2, 4))


def grow(z: Any) -> Any:
    """The inverse."""
    return jnp.repeat(jnp.repeat(z, 2, axis=1), 2, axis=2)


def encode(x: Any) -> Any:
    return shrink(x) @ MIX


def decode(z: Any) -> Any:
    return grow(z @ MIX.T)


OURS: Pair = encode, decode


def first(pair: Pair = OURS) -> Pair:
    """Channels first."""
    return (
        lambda x: pair[0](x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        lambda z: pair[1](z.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    )


def centred(low: float, high: float) -> Pair:
    """Trained on images whose mean is in the middle of a range: others come out with another mean."""
    middle = (low + high) / 2
    return lambda x: encode(x - 0.4 * (x.mean(axis=(1, 2, 3), keepdims=True) - middle)), decode


def of(take: Callable | None = None, give: Callable | None = None, pair: Pair = OURS) -> Pair:
    """An autoencoder that takes images, or gives them, in another way."""
    return (
        pair[0] if take is None else lambda x: pair[0](take(x)),
        pair[1] if give is None else lambda z: give(pair[1](z)),
    )


def returning(latents: Callable | None = None, images: Callable | None = None, pair: Pair = OURS) -> Pair:
    """An autoencoder whose results are wrapped."""
    return (
        pair[0] if latents is None else lambda x: latents(pair[0](x)),
        pair[1] if images is None else lambda z: images(pair[1](z)),
    )


def turn(x: Any) -> Any:
    return x.transpose(0, 2, 1, 3)


class Distribution:
    """A posterior as libraries of distributions have it."""

    def __init__(self, mean: Any):
        self.loc = mean

    def mode(self) -> Any:
        return self.loc

    def sample(self, seed: int = 0) -> Any:
        return self.loc + 1


def held(z: Any) -> Any:
    """What diffusers returns."""
    return types.SimpleNamespace(latent_dist=Distribution(z))


class Tensor:
    """As much of a tensor of PyTorch as the door looks at."""

    def __init__(self, array: Any):
        self._array = array
        self.shape, self.dtype = array.shape, "torch.float32"

    def detach(self) -> Any:
        return self

    cpu = detach

    def numpy(self) -> Any:
        return np.asarray(self._array)


Tensor.__module__ = "torch"


class TorchModule:
    """As much of a module of PyTorch."""

    def encode(self, x: Any) -> Any:
        return x

    def __call__(self, x: Any) -> Any:
        return x


TorchModule.__module__ = "torch.nn.modules"


class Nnx(nnx.Module):
    """The same as a module, with what behaves differently in training."""

    def __init__(self, middle: Callable[[nnx.Rngs], Any] | None = None):
        self.mix = nnx.Param(jnp.asarray(MIX))
        self.middle = None if middle is None else middle(nnx.Rngs(0))

    def encode(self, x: Any) -> Any:
        z = shrink(x) @ self.mix[...]
        return z if self.middle is None else self.middle(z)

    def decode(self, z: Any) -> Any:
        return grow(z @ self.mix[...].T)


class Sampling(nnx.Module):
    """An encoder that draws from its posterior, with random keys of its own."""

    def __init__(self) -> None:
        self.rngs = nnx.Rngs(0)

    def encode(self, x: Any) -> Any:
        z = encode(x)
        return z + 0.1 * jax.random.normal(self.rngs(), z.shape)


class Linen(linen.Module):
    """The same in Linen."""

    def encode(self, x: Any) -> Any:
        return encode(x)

    def decode(self, z: Any) -> Any:
        return decode(z)


class Unbound(linen.Module):
    """With parameters, which it does not have before `init`."""

    @linen.compact
    def decode(self, z: Any) -> Any:
        return grow(linen.Dense(3)(z))


def nnx_pair(middle: Callable[[nnx.Rngs], Any] | None = None, *, train: bool = False) -> Pair:
    module = Nnx(middle)
    (module.train if train else module.eval)()
    return module.encode, module.decode


def dropout(rngs: nnx.Rngs) -> Any:
    return nnx.Dropout(0.5, rngs=rngs)


def batch_norm(rngs: nnx.Rngs) -> Any:
    return nnx.BatchNorm(4, epsilon=0, rngs=rngs)


def strict(dtype: Any) -> Pair:
    """In one precision: operations of jax.lax refuse others."""

    def only(x: Any) -> Any:
        return jax.lax.mul(x, jnp.ones(x.shape, dtype))

    mix = jnp.asarray(MIX, dtype)
    return lambda x: shrink(only(x)) @ mix, lambda z: grow(only(z) @ mix.T)


def sample_posterior() -> Pair:
    rng = np.random.default_rng(0)
    return lambda x: encode(x) + 0.1 * rng.standard_normal((*x.shape[:1], 1, 1, 1)).astype(np.float32), decode
