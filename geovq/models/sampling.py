"""New token sequences from a GPT: one pass over the positions, with the keys and values of the past cached.

Row i of a request draws from fold_in(key, offset + i), and rows are always computed in batches of `chunk`: what else is asked for
does not change a row, and a request may be cut into pieces.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from geovq.batching.chunks import Progress, map_chunks
from geovq.models.config import GPTConfig
from geovq.models.attention import attention
from geovq.models.gpt import GPT
from geovq.models.gpt_checks import check_conditioning
from geovq.models.token_data import check_labels
from geovq.validation import InputError, check_tokens, check_whole

Cache = list[tuple[Float[Array, "n t heads c"], Float[Array, "n t heads c"]]]
"""Keys and values of every block."""

_ROWS = 1 << 32
"""Numbers that a key can be folded with."""


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
    prefix: Int[np.ndarray, "n p"] | None = None,
    offset: int = 0,
    chunk: int = 256,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n t"]:
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
        prefix: First p tokens of each sequence, in raster order, p from 0 to t; the rest is drawn.
        offset: Number of the first row, at least 0: rows 0..99 are rows 0..49 and then 50..99.
        chunk: Sequences drawn at once. Fewer are padded to as many, since products of another size may round differently.
        progress: Called with the number of sequences finished.

    Returns:
        int32 tokens (n, t) in raster order.

    Raises:
        InputError: An argument out of its range, labels that do not fit the model, or an unknown class.
    """
    config = model.config
    _check_request(model, n, labels, temperature, top_k, top_p, offset, chunk)
    weights = _guidance_weights(config, guidance)
    kept = np.zeros((n, 0), np.int32) if prefix is None else _prefix_tokens(config, prefix, n)
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
    tokens = map_chunks(draw, rows, classes.astype(np.int32), kept, chunk=chunk, pad=True, progress=progress)
    assert isinstance(tokens, np.ndarray)
    return tokens


def rising_guidance(scale: float, length: int) -> Float[np.ndarray, " t"]:
    """Guidance that rises evenly from 1 at the first token to `scale` at the last; 1 for a single token.

    The first tokens settle what is shown; guiding them as strongly as the last ones costs variety.
    """
    return np.linspace(1, scale, length)


@functools.partial(jax.jit, static_argnames=("graphdef", "top_k", "top_p"))
def _sample_rows(
    graphdef, params, key, rows, labels, prefix, *, temperature, top_k, top_p, guidance
) -> Int[Array, "n t"]:
    """The sequences of some row numbers; compiled once for each size, length of prefix, top_k, top_p, and with guidance."""
    model, n = nnx.merge(graphdef, params), len(rows)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    kept = jnp.pad(prefix, ((0, 0), (0, model.config.length - prefix.shape[1])))
    # With guidance every sequence runs twice, the second time without its class.
    times = 1 if guidance is None else 2
    starts = labels if guidance is None else jnp.concatenate([labels, jnp.full_like(labels, model.config.classes)])

    def draw_next(carry, position):
        x, cache = carry
        logits, cache = next_logits(model, x, position, cache)
        if guidance is not None:
            logits = logits[n:] + guidance[position] * (logits[:n] - logits[n:])
        keys_here = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
        choose = functools.partial(draw_token, temperature=temperature, top_k=top_k, top_p=top_p)
        drawn = jax.vmap(choose)(keys_here, logits)
        tokens = jnp.where(position < prefix.shape[1], kept[:, position], drawn)
        x = model.embed(jnp.tile(tokens, times)[:, None])[:, 0]
        return (x, cache), tokens

    start = (model.embed_start(times * n, starts), empty_cache(model, times * n))
    tokens = jax.lax.scan(draw_next, start, jnp.arange(model.config.length))[1]
    return tokens.T


def next_logits(
    model: GPT, x: Float[Array, "n width"], position: Int[Array, ""], cache: Cache
) -> tuple[Float[Array, "n K"], Cache]:
    """Logits of one token, from the row embedded before it and what was cached of earlier positions.

    Args:
        model: The model.
        x: `embed_start` at position 0, `embed` of the token before afterwards.
        position: Number of the token that is asked for, 0..t-1.
        cache: Keys and values of each block, filled before `position`.

    Returns:
        The logits that the whole sequence would give at `position`, and the cache with `position` filled.
    """
    n = len(x)
    x = x + jax.lax.dynamic_index_in_dim(model.positions(), position)
    filled = []
    for block, (keys, values) in zip(model.blocks, cache, strict=True):

        def attend(q, k, v, keys=keys, values=values):
            keys = jax.lax.dynamic_update_slice_in_dim(keys, k, position, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(values, v, position, axis=1)
            filled.append((keys, values))
            return attention(q, keys, values, position)

        x = block(x, n, attend)
    return model.head(model.norm(x)), filled


def empty_cache(model: GPT, n: int) -> Cache:
    """Room for the keys and values of n sequences."""
    config = model.config
    dtype = jnp.bfloat16 if config.bfloat16 else model.codes[...].dtype
    zeros = jnp.zeros((n, config.length, config.heads, config.width // config.heads), dtype)
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


def _check_request(model, n, labels, temperature, top_k, top_p, offset, chunk) -> None:
    """Refuses what `sample` cannot draw."""
    codes = model.config.num_codes
    for name, value, least in (("n", n, 1), ("offset", offset, 0), ("top_k", top_k, 0), ("chunk", chunk, 1)):
        check_whole(name, value, least)
    if offset + n > _ROWS:
        raise InputError(
            f"offset: expected offset + n of at most {_ROWS:,}, found {offset + n:,}; take another key for more rows."
        )
    if np.ndim(temperature) or not 0 <= temperature < float("inf"):
        raise InputError(f"temperature: expected a finite number of at least 0, found {temperature}; 0 is greedy.")
    if top_k > codes:
        raise InputError(f"top_k: expected 0..{codes}, found {top_k}; 0 keeps all {codes} codes.")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p: expected a number in (0, 1], found {top_p}; 1 keeps all codes.")
    check_conditioning(model.config, labels is not None)
    if labels is not None and np.shape(labels) != (n,):
        raise InputError(
            f"labels: expected shape ({n},), found {np.shape(labels)}; pass one for each sequence that is wanted."
        )


def _guidance_weights(config: GPTConfig, guidance: float | np.ndarray) -> Float[np.ndarray, " t"]:
    """Guidance of each token.

    Raises:
        InputError: Another shape, a weight that is not finite and at least 0, or a model that knows nothing without a class.
    """
    weights = np.asarray(guidance, np.float32)
    if weights.shape not in ((), (config.length,)) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(
            f"guidance: expected a finite number of at least 0, or one for each of {config.length} tokens, found {guidance}; "
            "pass one of the two."
        )
    if (weights != 1).any() and not config.class_dropout:
        raise InputError(
            f"guidance: expected 1 for a model that was trained without class_dropout, found {guidance}; train one with it."
        )
    return np.broadcast_to(weights, config.length)


def _prefix_tokens(config: GPTConfig, prefix: np.ndarray, n: int) -> Int[np.ndarray, "n p"]:
    """The first tokens of n sequences.

    Raises:
        InputError: Another shape, more tokens than a sequence has, or tokens outside 0..K-1.
    """
    prefix = np.asarray(prefix)
    if prefix.ndim != 2 or len(prefix) != n or prefix.shape[1] > config.length:
        raise InputError(
            f"prefix: expected shape ({n}, p) with p of at most {config.length}, found {prefix.shape}; pass the first tokens of "
            "every sequence, in raster order."
        )
    return check_tokens(prefix, config.num_codes, "prefix")
