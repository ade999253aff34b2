"""GPT: a causal Transformer over the tokens of an image, in raster order, and its likelihood.

The sequence that it sees is [start, token 0 ... token t-2], so that the first token's distribution is learned too; a
class-conditional model has one start row for each class, and one for no class. Learned vectors of a token's row and column in the
grid, or rotations, say which token is to be predicted. Several codes of a token are positions of their own, or are predicted at
one position, each given those before it (as in the RQ-Transformer of Lee et al., 2022, with a perceptron in the place of its
depth Transformer). Pre-norm blocks and initial weights as in GPT-2 (Radford et al., 2019); `geovq.models.gpt_start` has others
for the codes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from geovq.models.attention import rotary_angles, rotate, self_attention
from geovq.models.config import GPTConfig
from geovq.models.gpt_block import SCALE, Block, Perceptron
from geovq.models.gpt_checks import check_config, check_shapes
from geovq.validation import InputError

_KEPT_PER_CHANNEL = 4 * 36
"""Bytes that a block keeps for the gradient, by the channel of a position: measured."""

_MOST_KEPT = 4 << 30
"""Bytes that all blocks keep together where nothing else is asked for."""

_AT_ONCE, _CODES, _LOGITS = 500, 1 << 15, 1 << 24
"""Sequences, codes and logits (64 MiB) of a pass without gradients at most."""


class GPT(nnx.Module):
    """Distribution of each code of an image given the codes before it, and the class if there are classes."""

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
        codes = config.num_quantizers * config.num_codes
        self.config = config
        self.start = nnx.Param(normal(rngs.params(), (config.classes + 1, config.width)))
        self.codes = nnx.Param(normal(rngs.params(), (codes, config.width)))
        if not config.rotary:
            self.rows = nnx.Param(normal(rngs.params(), (config.grid[0], config.width)))
            self.columns = nnx.Param(normal(rngs.params(), (config.grid[1], config.width)))
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.head = nnx.Linear(config.width, codes, use_bias=False, kernel_init=normal, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        if config.num_quantizers > 1:
            self.quantizers = nnx.Param(normal(rngs.params(), (config.num_quantizers, config.width)))
        if config.codes_per_position > 1:
            self.within_token = Perceptron(config, rngs=rngs)

    def __call__(
        self,
        tokens: Int[Array | np.ndarray, "n t *S"],
        labels: Int[Array | np.ndarray, " n"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n t *S K"]:
        """Logits of every code given those before it.

        Args:
            tokens: Codes 0..K-1 in raster order, (n, t), or (n, t, S) with several codes a token; values outside are not noticed
                here (see `geovq.validation.check_tokens`).
            labels: Classes 0..classes-1, for a class-conditional model only, or `classes` for none, which a model knows that
                was trained with class_dropout; others are not noticed here (see `token_data.check_labels`).
            key: Draws the dropout; None switches it off.

        Returns:
            logits[:, i] is about tokens[:, i] and depends on tokens[:, :i] and labels alone; with several codes logits[:, i, s]
            depends on tokens[:, i, :s] too.

        Raises:
            InputError: Another shape, labels without classes, or classes without labels.
        """
        check_shapes(self.config, tokens.shape, None if labels is None else labels.shape)
        n, codes = len(tokens), tokens.reshape(-1, self.config.num_quantizers)
        keys = [None] * (len(self.blocks) + 1) if key is None else jax.random.split(key, len(self.blocks) + 1)
        x = jnp.concatenate([self.embed_start(n, labels)[:, None], self._embed_all(n, codes)[:, :-1]], axis=1)
        x = (x + self.positions()[None]).reshape(n * self.config.num_positions, -1)
        x = self.dropout(x, deterministic=key is None, rngs=keys[0])
        x = self._through_blocks(x, n, keys[1:])
        return self._all_logits(x, codes).reshape(*tokens.shape, -1)

    def _through_blocks(
        self, x: Float[Array, "rows width"], n: int, keys: Sequence | Key[Array, " layers"]
    ) -> Float[Array, "rows width"]:
        """The stream of n sequences after all blocks; each has a key for its dropout, or None."""
        again = self.config.rematerialize
        if not (_KEPT_PER_CHANNEL * x.size * len(self.blocks) > _MOST_KEPT if again is None else again):
            for block, key in zip(self.blocks, keys, strict=True):
                x = block(x, n, self._attend, key=key)
            return x
        # In a loop, because XLA finds what is computed twice in straight code, and would keep it after all.
        graphdefs, params = zip(*map(nnx.split, self.blocks), strict=True)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)

        @jax.checkpoint
        def through(x, params_and_key):
            params, key = params_and_key
            return nnx.merge(graphdefs[0], params)(x, n, self._attend, key=key), None

        return jax.lax.scan(through, x, (stacked, None if keys[0] is None else keys))[0]

    def positions(self) -> Float[Array, "positions width"]:
        """What is added at every position: learned rows of its row and column in the grid, and of which code of a token it is."""
        config = self.config
        added = jnp.zeros((config.length, config.width), self.codes[...].dtype)
        if not config.rotary:
            added = (self.rows[...][:, None] + self.columns[...][None]).reshape(config.length, -1)
        if config.num_positions == config.length:
            return added
        return (added[:, None] + self.quantizers[...][None]).reshape(config.num_positions, -1)

    def place(self, x: Float[Array, "n s heads c"], first: Int[Array, ""] | int = 0) -> Float[Array, "n s heads c"]:
        """Queries or keys of s positions, the first of which is number `first`; rotated, if positions are rotary."""
        if not self.config.rotary:
            return x
        angles = rotary_angles(self.config.grid, x.shape[3])
        repeated = jnp.repeat(jnp.asarray(angles), self.config.num_positions // self.config.length, axis=0)
        return rotate(x, jax.lax.dynamic_slice_in_dim(repeated, first, x.shape[1]))

    def embed_start(self, n: int, labels: Int[Array | np.ndarray, " n"] | None) -> Float[Array, "n width"]:
        """What stands before the first token: a learned row of the class, or of no class."""
        if labels is None:
            return jnp.broadcast_to(self.start[...][-1:], (n, self.config.width))
        return _rows_of(labels, self.start[...])

    def embed(self, codes: Int[Array | np.ndarray, " n"], quantizer: Int[Array, ""] | int) -> Float[Array, "n width"]:
        """Learned rows of codes of one quantizer; by a matrix product, as scattered gradients are slow on accelerators."""
        k = self.config.num_codes
        return _rows_of(codes, jax.lax.dynamic_slice_in_dim(self.codes[...], quantizer * k, k))

    def logits(self, x: Float[Array, "n width"], quantizer: Int[Array, ""] | int) -> Float[Array, "n K"]:
        """Logits of codes of one quantizer, from what the last block, or `within`, makes of their positions."""
        k = self.config.num_codes
        return self.norm(x) @ jax.lax.dynamic_slice_in_dim(self.head.kernel[...], quantizer * k, k, axis=1)

    def within(self, x: Float[Array, "n width"], before: Int[Array | np.ndarray, "n s"]) -> Float[Array, "n width"]:
        """The stream of a position that predicts several codes, after it has seen the first s of them."""
        if self.config.codes_per_position == 1:
            return x
        count = before.shape[1]
        rows = [self.embed(before[:, s], s) for s in range(count)]
        return self.within_token(sum(rows, start=x + self.quantizers[count : count + 1]))

    def _attend(
        self, q: Float[Array, "n t heads c"], k: Float[Array, "n t heads c"], v: Float[Array, "n t heads c"]
    ) -> Float[Array, "n t heads c"]:
        return self_attention(self.place(q), self.place(k), v)

    def _embed_all(self, n: int, codes: Int[Array | np.ndarray, "tokens S"]) -> Float[Array, "n positions width"]:
        """What every position hands to the next: the sum of its codes' rows."""
        rows = [self.embed(codes[:, s], s) for s in range(self.config.num_quantizers)]
        if self.config.codes_per_position > 1:
            rows = [sum(rows[1:], start=rows[0])]
        return jnp.stack(rows, axis=1).reshape(n, self.config.num_positions, -1)

    def _all_logits(
        self, x: Float[Array, "rows width"], codes: Int[Array | np.ndarray, "tokens S"]
    ) -> Float[Array, "tokens S K"]:
        """Logits of all codes from the stream after the last block."""
        by_token = x.reshape(len(codes), -1, x.shape[1])
        streams = [by_token[:, s % by_token.shape[1]] for s in range(self.config.num_quantizers)]
        return jnp.stack([self.logits(self.within(x, codes[:, :s]), s) for s, x in enumerate(streams)], axis=1)


def _rows_of(indices: Int[Array | np.ndarray, " n"], table: Float[Array, "m width"]) -> Float[Array, "n width"]:
    return jax.nn.one_hot(indices, len(table), dtype=table.dtype) @ table


def drop_labels(labels: Int[Array, " n"], config: GPTConfig, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Labels of which a random part, `class_dropout`, is replaced by no class (Ho & Salimans 2022)."""
    dropped = jax.random.bernoulli(key, config.class_dropout, labels.shape)
    return jnp.where(dropped, config.classes, labels)


def sequences_of_pass(config: GPTConfig) -> int:
    """Sequences whose likelihoods are computed together: 500 at most, and fewer where sequences are long or codes are many."""
    codes = config.length * config.num_quantizers
    return max(1, min(_AT_ONCE, _CODES // codes, _LOGITS // (codes * config.num_codes)))


def token_nats(
    model: GPT,
    tokens: Int[Array | np.ndarray, "n t *S"],
    labels: Int[Array | np.ndarray, " n"] | None = None,
    *,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "n t *S"]:
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
    tokens: Int[Array | np.ndarray, "n t *S"],
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
    logits: Float[Array, "n t *S K"], tokens: Int[Array | np.ndarray, "n t *S"], label_smoothing: float = 0.0
) -> Float[Array, "n t *S"]:
    """-Σ target · log softmax(logits), in nats, where the target is the token, smoothed towards uniform."""
    targets = optax.smooth_labels(jax.nn.one_hot(tokens, logits.shape[-1], dtype=logits.dtype), label_smoothing)
    return optax.softmax_cross_entropy(logits, targets)
