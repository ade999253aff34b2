"""How much does a token's metric vary with the token, its context and its position? For `benchmarks.geometry`.

A crossed design: every token is put at every position of every context. The sum of squares of G around its mean (Frobenius) is
divided into main effects and interactions, as in an analysis of variance without repeats.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from benchmarks.common.rows import Row, number_row
from geovq.batching.chunks import map_chunks
from geovq.batching.run import settle
from geovq.decoder.adapters import as_partial, in_context
from geovq.metric.pullback import pullback_metric

TOKENS = 24
CONTEXTS = 24


def study(decode: Partial, latents: np.ndarray, own: np.ndarray, seed: int) -> list[Row]:
    """The rows of this question.

    Args:
        decode: Of one grid.
        latents: Grids to draw tokens and contexts from (n, h, w, d).
        own: Metrics of tokens in their own context and position (m, h, w, d, d).
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    n, h, w, d = latents.shape
    images = rng.permutation(n)[: TOKENS + CONTEXTS]
    tokens = latents[images[:TOKENS]].reshape(TOKENS, h * w, d)[np.arange(TOKENS), rng.integers(h * w, size=TOKENS)]
    metrics = crossed_metrics(decode, tokens, latents[images[TOKENS:]])
    print(f"variance: {metrics[..., 0, 0].size} metrics of a crossed design", flush=True)
    rows = []
    for name, scaled in (("metric", lambda g: g), ("metric / trace", _by_trace)):
        fields: Row = {"case": "variance", "of": name, "tokens": TOKENS, "contexts": CONTEXTS, "positions": h * w}
        crossed = scaled(metrics)
        for effect, share in shares(crossed).items():
            rows.append(number_row({**fields, "effect": effect}, "share", share, crossed[..., 0, 0].size))
        values = scaled(own).astype(np.float64)
        position = values.mean(axis=0)
        share = ((position - position.mean(axis=(0, 1))) ** 2).sum() * len(own)
        total = ((values - values.mean(axis=(0, 1, 2))) ** 2).sum()
        rows.append(
            number_row(
                {"case": "variance", "of": name, "effect": "position, of tokens as they occur"},
                "share",
                share / total,
                own[..., 0, 0].size,
            )
        )
    return rows


def crossed_metrics(
    decode: Partial, tokens: Float[np.ndarray, "a d"], contexts: Float[np.ndarray, "b h w d"]
) -> Float[np.ndarray, "a b p d d"]:
    """Metric of every token at every position of every context."""
    b, h, w, d = contexts.shape
    decode, plan = as_partial(decode), settle()
    of_many = jax.jit(jax.vmap(_metric_at, in_axes=(None, 0, 0, 0)), compiler_options=dict(plan.options))
    token, context, place = (axis.ravel() for axis in np.indices((len(tokens), b, h * w)))
    metrics = map_chunks(
        lambda i, j, q: of_many(decode, tokens[i], contexts[j], q),
        token,
        context,
        place,
        chunk=max(1, plan.passes // d),
        pad=True,
    )
    return metrics.reshape(len(tokens), b, h * w, d, d)


def _metric_at(decode: Partial, token: Array, context: Array, place: Array) -> Array:
    return pullback_metric(in_context(decode, context, *jnp.divmod(place, context.shape[1])), token)


def _by_trace(metrics: np.ndarray) -> np.ndarray:
    """Its shape alone: whether the image moves at all is left out."""
    return metrics / np.trace(metrics, axis1=-2, axis2=-1)[..., None, None]


def shares(values: Float[np.ndarray, "a b p d d"]) -> dict[str, float]:
    """Parts of the sum of squares around the mean, by effect; they add up to 1."""
    axes = ("token", "context", "position")
    remaining = values.astype(np.float64) - values.mean(axis=(0, 1, 2), dtype=np.float64)
    total = (remaining**2).sum()
    found = {}
    for held in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        others = tuple(axis for axis in range(3) if axis not in held)
        effect = remaining.mean(axis=others, keepdims=True)
        repeats = np.prod([values.shape[axis] for axis in others])
        found[" x ".join(axes[axis] for axis in held)] = float((effect**2).sum() * repeats / total)
        remaining = remaining - effect
    found[" x ".join(axes)] = float((remaining**2).sum() / total)
    return found
