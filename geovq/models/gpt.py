"""GPT: a causal Transformer over the tokens of an image, in raster order, and its likelihood.

The sequence that it sees is [start, token 0 ... token t-2], so that the first token's distribution is learned too; a
class-conditional model has one start row for each class, and one for no class. Learned vectors of a token's row and column in the
grid say which token is to be predicted. Pre-norm blocks and initial weights as in GPT-2 (Radford et al., 2019);
`geovq.models.gpt_start` has others for the codes.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geovq.models.config import GPTConfig
from geovq.validation import InputError, check_whole

Attend = Callable[
    [Float[Array, "n s heads c"], Float[Array, "n s heads c"], Float[Array, "n s heads c"]],
    Float[Array, "n s heads c"],
]
"""Queries, keys and values of the s positions that a block sees -> the values that each position attends to, mixed."""

SCALE = 0.02
"""Standard deviation of the initial weights."""


def attention(
    q: Float[Array, "n s heads c"],
    k: Float[Array, "n u heads c"],
    v: Float[Array, "n u heads c"],
    first: Int[Array, ""] | int = 0,
) -> Float[Array, "n s heads c"]:
    """Causal attention of s positions, the first of which is number `first`, to u positions from 0 on.

    Args:
        q: Queries.
        k: Keys.
        v: Values; those of later positions than the query's are not read.
        first: Position of the first query.

    Returns:
        For every query and head, the mean of the values up to its own position, weighted by softmax(q·k / √c).
    """
    past = jnp.arange(k.shape[1])[None, :] <= first + jnp.arange(q.shape[1])[:, None]
    return jax.nn.dot_product_attention(q, k, v, mask=past[None, None])


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


class GPT(nnx.Module):
    """Distribution of each token of an image given the tokens before it, and the class if there are classes."""

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        """Initial weights.

        Args:
            config: Sizes.
            rngs: Source of the initial weights.

        Raises:
            InputError: As `check_config`.
        """
        check_config(config)
        normal = nnx.initializers.normal(SCALE, jnp.float32)
        self.config = config
        self.start = nnx.Param(normal(rngs.params(), (config.classes + 1, config.width)))
        self.codes = nnx.Param(normal(rngs.params(), (config.num_codes, config.width)))
        self.rows = nnx.Param(normal(rngs.params(), (config.grid[0], config.width)))
        self.columns = nnx.Param(normal(rngs.params(), (config.grid[1], config.width)))
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.head = nnx.Linear(config.width, config.num_codes, use_bias=False, kernel_init=normal, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self,
        tokens: Int[Array | np.ndarray, "n t"],
        labels: Int[Array | np.ndarray, " n"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n t K"]:
        """Logits of every token given those before it.

        Args:
            tokens: Tokens 0..K-1 in raster order; values outside are not noticed here (see `geovq.validation.check_tokens`).
            labels: Classes 0..classes-1, for a class-conditional model only, or `classes` for none, which a model knows that
                was trained with class_dropout; others are not noticed here (see `token_data.check_labels`).
            key: Draws the dropout; None switches it off.

        Returns:
            logits[:, i] is about tokens[:, i] and depends on tokens[:, :i] and labels alone.

        Raises:
            InputError: Another shape, labels without classes, or classes without labels.
        """
        check_shapes(self.config, tokens.shape, None if labels is None else labels.shape)
        n, t = tokens.shape
        keys = [None] * (len(self.blocks) + 1) if key is None else jax.random.split(key, len(self.blocks) + 1)
        x = jnp.concatenate([self.embed_start(n, labels)[:, None], self.embed(tokens[:, :-1])], axis=1)
        x = (x + self.positions()[None]).reshape(n * t, -1)
        x = self.dropout(x, deterministic=key is None, rngs=keys[0])
        for block, block_key in zip(self.blocks, keys[1:], strict=True):
            x = block(x, n, attention, key=block_key)
        return self.head(self.norm(x)).reshape(n, t, -1)

    def positions(self) -> Float[Array, "t width"]:
        """What is added at every position: a learned row for its row in the grid, and one for its column."""
        return (self.rows[...][:, None] + self.columns[...][None]).reshape(self.config.length, -1)

    def embed_start(self, n: int, labels: Int[Array | np.ndarray, " n"] | None) -> Float[Array, "n width"]:
        """What stands before the first token: a learned row of the class, or of no class."""
        if labels is None:
            return jnp.broadcast_to(self.start[...][-1:], (n, self.config.width))
        return _rows_of(labels, self.start[...])

    def embed(self, tokens: Int[Array | np.ndarray, "n s"]) -> Float[Array, "n s width"]:
        """Learned rows of the tokens; by a matrix product, as scattered gradients are slow on accelerators."""
        return _rows_of(tokens.reshape(-1), self.codes[...]).reshape(*tokens.shape, self.config.width)


def _rows_of(indices: Int[Array | np.ndarray, " n"], table: Float[Array, "m width"]) -> Float[Array, "n width"]:
    return jax.nn.one_hot(indices, len(table), dtype=table.dtype) @ table


def drop_labels(labels: Int[Array, " n"], config: GPTConfig, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Labels of which a random part, `class_dropout`, is replaced by no class (Ho & Salimans 2022)."""
    dropped = jax.random.bernoulli(key, config.class_dropout, labels.shape)
    return jnp.where(dropped, config.classes, labels)


def token_nats(
    model: GPT,
    tokens: Int[Array | np.ndarray, "n t"],
    labels: Int[Array | np.ndarray, " n"] | None = None,
    *,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "n t"]:
    """Negative log-likelihood of every token given those before it, in nats.

    Args:
        model: The model.
        tokens: As for the model.
        labels: As for the model.
        key: Draws the dropout; None switches it off.

    Raises:
        InputError: As the model does.
    """
    return cross_entropy(model(tokens, labels, key=key), tokens)


def loss(
    model: GPT,
    tokens: Int[Array | np.ndarray, "n t"],
    labels: Int[Array | np.ndarray, " n"] | None = None,
    *,
    key: PRNGKeyArray | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """What training lowers: nats per token, averaged over tokens and images.

    Args:
        model: The model.
        tokens: As for the model.
        labels: As for the model.
        key: Draws the dropout; None switches it off.
        label_smoothing: Share of the target, in [0, 1), that is spread evenly over all K codes (Szegedy et al., 2016).
            Only at 0 is the result a likelihood: validate at 0.

    Raises:
        InputError: As the model does, or label_smoothing outside its range.
    """
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing: expected a number in [0, 1), found {label_smoothing}; 0 is none.")
    return cross_entropy(model(tokens, labels, key=key), tokens, label_smoothing).mean()


def cross_entropy(
    logits: Float[Array, "n t K"], tokens: Int[Array | np.ndarray, "n t"], label_smoothing: float = 0.0
) -> Float[Array, "n t"]:
    """-Σ target · log softmax(logits), in nats, where the target is the token, smoothed towards uniform."""
    targets = optax.smooth_labels(jax.nn.one_hot(tokens, logits.shape[-1], dtype=logits.dtype), label_smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def check_config(config: GPTConfig) -> None:
    """Refuses sizes that make no model.

    Raises:
        InputError: A size that is no positive whole number, a negative number of classes, a grid that is not (h, w), heads that
            do not divide the width, dropout or class_dropout outside [0, 1), or class_dropout without classes.
    """
    if np.shape(config.grid) != (2,):
        raise InputError(f"GPT: expected a grid (h, w) of tokens, found {config.grid}; give (1, t) to a sequence.")
    for name in ("num_codes", "layers", "width", "heads"):
        check_whole(f"GPT: {name}", getattr(config, name))
    for side in config.grid:
        check_whole("GPT: grid", side)
    check_whole("GPT: classes", config.classes, 0)
    if config.width % config.heads:
        raise InputError(
            f"GPT: expected a width that the heads divide, found width {config.width} and {config.heads} heads; "
            f"choose {config.width // config.heads * config.heads or config.heads}."
        )
    if not 0 <= config.dropout < 1 or not 0 <= config.class_dropout < 1:
        raise InputError(
            f"GPT: expected dropout and class_dropout in [0, 1), found {config.dropout} and {config.class_dropout}; 0 is none."
        )
    if config.class_dropout and not config.classes:
        raise InputError("GPT: expected no class_dropout without classes; leave it out, or give the number of classes.")


def check_shapes(config: GPTConfig, tokens: tuple[int, ...], labels: tuple[int, ...] | None) -> None:
    """Refuses shapes of tokens and labels that do not fit the model.

    Raises:
        InputError: Tokens not (n, t), labels not (n,), labels without classes, or classes without labels.
    """
    if len(tokens) != 2 or tokens[1] != config.length:
        raise InputError(f"tokens: expected shape (n, {config.length}), found {tokens}; flatten grids in raster order.")
    check_conditioning(config, labels is not None)
    if labels is not None and labels != tokens[:1]:
        raise InputError(f"labels: expected shape {tokens[:1]}, found {labels}; pass one for each image.")


def check_conditioning(config: GPTConfig, labelled: bool) -> None:
    """Refuses labels for an unconditional model, and none for a class-conditional one.

    Raises:
        InputError: With what to do.
    """
    if labelled and config.classes == 0:
        raise InputError("labels: expected none, for the model has no classes; leave them out or train with classes.")
    if not labelled and config.classes > 0:
        raise InputError(f"labels: expected classes 0..{config.classes - 1}, found none; pass one for each image.")
