"""New token sequences from a GPT: one pass over the positions, with the keys and values of the past cached.

Row i of a request draws from fold_in(key, offset + i): what else is asked for does not change a row but for rounding, and a
request may be cut into pieces. (Products of other sizes may round differently, which changes a token where two are nearly equal.
The same request always gives the same tokens.)
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from geovq.batching.budget import rows_of_call
from geovq.batching.chunks import Progress, map_chunks
from geovq.models.attention import attend_to_cache
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT
from geovq.models.sampling_checks import check_request, guidance_weights, prefix_tokens
from geovq.models.token_data import check_labels
from geovq.validation import LARGEST_SIZE, check_number, check_whole

Cache = list[tuple[Float[Array, "n heads c t"], Float[Array, "n heads c t"]]]
"""Keys and values of every block."""

_AT_ONCE, _CACHED = 256, 1 << 30
"""Sequences drawn at once by default, and bytes that their keys and values take at most."""


def sample(
    model: GPT,
    key: PRNGKeyArray,
    n: int,
    labels: np.ndarray | None = None,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    guidance: float | Float[np.ndarray, " t"] = 1.0,
    prefix: Int[np.ndarray, "n p *S"] | None = None,
    offset: int = 0,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n t *S"]:
    """Draws token sequences.

    Args:
        model: The model.
        key: Source of randomness; with `offset` it settles every row.
        n: Sequences wanted, at least 1.
        labels: (n,) classes, for a class-conditional model only; `model.config.classes` stands for none, which a model knows
            that was trained with class_dropout.
        temperature: Divides the logits; 0 takes the most probable token, the first of equals.
        top_k: Only the k most probable tokens are drawn; 0 keeps all.
        top_p: Only the most probable tokens whose total first reaches p are drawn, in (0, 1]; 1 keeps all (nucleus
            sampling, Holtzman et al., 2020). Applied after temperature and top_k.
        guidance: Weight w of classifier-free guidance (Ho & Salimans 2022), for all tokens or for each: logits are
            l(no class) + w (l(class) − l(no class)). 1 is the model itself; others cost a second pass and want a model that
            was trained with class_dropout. See `rising_guidance`.
        prefix: First p tokens of each sequence, in raster order, p from 0 to t, (n, p) or (n, p, S); the rest is drawn.
        offset: Number of the first row, at least 0: rows 0..99 are rows 0..49 and then 50..99.
        chunk: Sequences drawn at once; None takes 256, or fewer where their keys and values would take more than 1 GiB. Fewer
            are padded to a power of two, so that few sizes are compiled.
        progress: Called with the number of sequences finished.

    Returns:
        int32 tokens (n, t) in raster order, or (n, t, S) with several codes a token.

    Raises:
        InputError: An argument out of its range, labels that do not fit the model, or an unknown class.
    """
    config = model.config
    check_request(model, n, labels, temperature, top_k, top_p, offset, chunk)
    weights = guidance_weights(config, guidance)
    nothing = np.zeros((n, 0, *config.token_shape[1:]), np.int32)
    kept = nothing if prefix is None else prefix_tokens(config, prefix, n)
    known = config.classes + bool(config.class_dropout)
    classes = np.full(n, config.classes) if labels is None else check_labels(labels, known)
    graphdef, params = nnx.split(model)
    draw = functools.partial(
        _sample_rows,
        graphdef,
        params,
        key,
        temperature=float(temperature),
        top_k=top_k,
        top_p=top_p,
        guidance=None if (weights == 1).all() else weights,
    )
    rows = offset + np.arange(n, dtype=np.uint32)
    at_once = rows_of_call(n, _chunk(config) if chunk is None else chunk)
    tokens = map_chunks(draw, rows, classes.astype(np.int32), kept, chunk=at_once, pad=True, progress=progress)
    assert isinstance(tokens, np.ndarray)
    return tokens


def _chunk(config: GPTConfig) -> int:
    """Sequences drawn at once by default."""
    cached = 4 * 2 * config.layers * config.width * config.num_positions
    return max(1, min(_AT_ONCE, _CACHED // cached))


def rising_guidance(scale: float, length: int) -> Float[np.ndarray, " t"]:
    """Guidance that rises evenly from 1 at the first token to `scale` at the last; 1 for a single token.

    The first tokens settle what is shown; guiding them as strongly as the last ones costs variety.

    Args:
        scale: Of the last token, finite and at least 0.
        length: Tokens t of a sequence.

    Raises:
        InputError: Another scale, or a length that is not whole.
    """
    check_number("scale", scale, "a finite number >= 0", lambda value: 0 <= value < math.inf)
    check_whole("length", length, 1, LARGEST_SIZE)
    return np.linspace(1, float(scale), length)


@functools.partial(jax.jit, static_argnames=("graphdef", "top_k", "top_p"))
def _sample_rows(
    graphdef, params, key, rows, labels, prefix, *, temperature, top_k, top_p, guidance
) -> Int[Array, "n t *S"]:
    """The sequences of some row numbers; compiled once for each size, length of prefix, top_k, top_p, and with guidance."""
    model, n = nnx.merge(graphdef, params), len(rows)
    config, per_position = model.config, model.config.codes_per_position
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    given = prefix.reshape(n, -1)
    kept = jnp.pad(given, ((0, 0), (0, config.num_positions * per_position - given.shape[1])))
    # With guidance every sequence runs twice, the second time without its class.
    times = 1 if guidance is None else 2
    starts = labels if guidance is None else jnp.concatenate([labels, jnp.full_like(labels, config.classes)])
    choose = jax.vmap(functools.partial(draw_token, temperature=temperature, top_k=top_k, top_p=top_p))

    def draw_code(h, drawn, position):
        number = position * per_position + len(drawn)  # of the code in its sequence
        before = jnp.tile(jnp.stack(drawn, axis=1), (times, 1)) if drawn else jnp.zeros((times * n, 0), jnp.int32)
        logits = model.logits(model.within(h, before), number % config.num_quantizers)
        if guidance is not None:
            logits = logits[n:] + guidance[number // config.num_quantizers] * (logits[:n] - logits[n:])
        code = choose(jax.vmap(jax.random.fold_in, (0, None))(keys, number), logits)
        return jnp.where(number < given.shape[1], kept[:, number], code)

    def draw_next(carry, position):
        x, cache = carry
        h, cache = next_stream(model, x, position, cache)
        drawn: list[Int[Array, " n"]] = []
        for _ in range(per_position):
            drawn.append(draw_code(h, drawn, position))
        quantizers = [(position * per_position + s) % config.num_quantizers for s in range(per_position)]
        rows = [model.embed(jnp.tile(code, times), s) for code, s in zip(drawn, quantizers, strict=True)]
        return (sum(rows[1:], start=rows[0]), cache), jnp.stack(drawn, axis=1)

    start = (model.embed_start(times * n, starts), empty_cache(model, times * n))
    codes = jax.lax.scan(draw_next, start, jnp.arange(config.num_positions))[1]
    return codes.swapaxes(0, 1).reshape(n, *config.token_shape)


def next_stream(
    model: GPT, x: Float[Array, "n width"], position: Int[Array, ""], cache: Cache
) -> tuple[Float[Array, "n width"], Cache]:
    """What the last block makes of one position, from the row embedded before it and what was cached of earlier positions.

    Args:
        model: The model.
        x: `embed_start` at position 0, the rows of the codes before it afterwards.
        position: Number of the position, 0 at the start.
        cache: Keys and values of each block, filled before `position`.

    Returns:
        The stream that the whole sequence would have at `position`, and the cache with `position` filled.
    """
    n = len(x)
    x = x + jax.lax.dynamic_index_in_dim(model.positions(), position)
    filled = []
    for block, (keys, values) in zip(model.blocks, cache, strict=True):

        def attend(q, k, v, keys=keys, values=values):
            k = model.place(k, position)
            keys, values = (
                jax.lax.dynamic_update_slice_in_dim(cached, jnp.moveaxis(new, 1, 3), position, axis=3)
                for cached, new in ((keys, k), (values, v))
            )
            filled.append((keys, values))
            return attend_to_cache(model.place(q, position), keys, values, position)

        x = block(x, n, attend)
    return x, filled


def empty_cache(model: GPT, n: int) -> Cache:
    """Room for the keys and values of n sequences."""
    config = model.config
    dtype = jnp.bfloat16 if config.bfloat16 else model.codes[...].dtype
    zeros = jnp.zeros((n, config.heads, config.width // config.heads, config.num_positions), dtype)
    return [(zeros, zeros) for _ in range(config.layers)]


def draw_token(
    key: PRNGKeyArray, logits: Float[Array, " K"], temperature: Float[Array, ""] | float, top_k: int, top_p: float
) -> Int[Array, ""]:
    """One token from the tempered and filtered distribution, by the Gumbel-max trick: argmax(logits / T + noise)."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))  # noise in half precision would be coarse
    if top_k > 0:
        logits = jnp.where(keep_top_k(logits, top_k), logits, -jnp.inf)
    if top_p < 1:
        tempered = (logits - logits.max()) / jnp.maximum(temperature, jnp.finfo(logits.dtype).tiny)
        logits = jnp.where(keep_top_p(jax.nn.softmax(tempered), top_p), logits, -jnp.inf)
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jnp.argmax(logits + temperature * noise).astype(jnp.int32)


def keep_top_k(values: Float[Array, " K"], count: Int[Array, ""] | int) -> Bool[Array, " K"]:
    """True for exactly the `count` largest values, at least 1, the first of equals."""
    threshold = jnp.sort(values, descending=True)[count - 1]
    above, tied = values > threshold, values == threshold
    return above | (tied & (jnp.cumsum(tied) <= count - above.sum()))


def keep_top_p(probabilities: Float[Array, " K"], p: float) -> Bool[Array, " K"]:
    """True for the fewest, most probable tokens whose total reaches p, at least one, the first of equals."""
    largest = jnp.sort(probabilities, descending=True)
    before = jnp.cumsum(largest) - largest
    return keep_top_k(probabilities, jnp.maximum((before < p).sum(), 1))
