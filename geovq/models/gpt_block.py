"""A block of the GPT: attention and a perceptron, both added to the residual stream."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from geovq.models.config import GPTConfig

Attend = Callable[
    [Float[Array, "n s heads c"], Float[Array, "n s heads c"], Float[Array, "n s heads c"]],
    Float[Array, "n s heads c"],
]
"""Queries, keys and values of the s positions that a block sees -> the values that each position attends to, mixed."""

SCALE = 0.02
"""Standard deviation of the initial weights."""


class Block(nnx.Module):
    """Pre-norm attention, then a GELU perceptron of four times the width, both added to the residual stream.

    The stream is kept as rows (n·s, width): on a CPU the weight gradients of rank-3 inputs cost about three times as much.
    """

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        """Layers for `config`; what is added to the stream starts smaller, the more layers add to it."""
        width = config.width
        normal = nnx.initializers.normal(SCALE)
        residual = nnx.initializers.normal(SCALE / (2 * config.layers) ** 0.5)
        self.heads = config.heads
        self.norm_attention = nnx.LayerNorm(width, rngs=rngs)
        linear = functools.partial(nnx.Linear, dtype=jnp.bfloat16 if config.bfloat16 else None, rngs=rngs)
        self.query_key_value = linear(width, 3 * width, kernel_init=normal)
        self.mixed = linear(width, width, kernel_init=residual)
        self.norm_mlp = nnx.LayerNorm(width, rngs=rngs)
        self.up = linear(width, 4 * width, kernel_init=normal)
        self.down = linear(4 * width, width, kernel_init=residual)
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self, x: Float[Array, "rows width"], n: int, attend: Attend, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "rows width"]:
        """The stream of n sequences after this block; `attend` decides what a position can see."""
        key_mixed, key_down = (None, None) if key is None else jax.random.split(key)
        qkv = self.query_key_value(self.norm_attention(x)).reshape(n, -1, 3, self.heads, x.shape[1] // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        x = x + self.dropout(self.mixed(attend(q, k, v).reshape(x.shape)), deterministic=key is None, rngs=key_mixed)
        h = self.down(nnx.gelu(self.up(self.norm_mlp(x))))
        return x + self.dropout(h, deterministic=key is None, rngs=key_down)


class Perceptron(nnx.Module):
    """Pre-norm GELU perceptron of four times the width, added to the stream."""

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        """Layers for `config`, with initial weights as a block has them."""
        width = config.width
        linear = functools.partial(nnx.Linear, dtype=jnp.bfloat16 if config.bfloat16 else None, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.up = linear(width, 4 * width, kernel_init=nnx.initializers.normal(SCALE))
        self.down = linear(4 * width, width, kernel_init=nnx.initializers.normal(SCALE / (2 * config.layers) ** 0.5))

    def __call__(self, x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
        """The stream after it."""
        return x + self.down(nnx.gelu(self.up(self.norm(x))))
