"""Sampling by a pass over the whole sequence for each of its tokens: what a cache saves."""

from collections.abc import Callable
from typing import Any

import numpy as np


def without_cache(model: Any, key: Any, labels: np.ndarray) -> Callable[[int], Any]:
    """A function of a number of tokens: draws so many first ones of each sequence, each by a pass over all positions."""
    import jax
    from flax import nnx

    from geovq.models.sampling import draw_token

    graphdef, params = nnx.split(model)
    n, length = len(labels), model.config.length

    @jax.jit
    def draw_first(params: Any, count: Any) -> Any:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(n, dtype=np.uint32))

        def draw_next(position: Any, tokens: Any) -> Any:
            logits = nnx.merge(graphdef, params)(tokens, labels)[:, position]
            here = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
            return tokens.at[:, position].set(jax.vmap(lambda k, x: draw_token(k, x, 1.0, 0, 1.0))(here, logits))

        return jax.lax.fori_loop(0, count, draw_next, np.zeros((n, length), np.int32))

    return lambda count: jax.block_until_ready(draw_first(params, count))


def tokens_by_one_pass(model: Any, key: Any, labels: np.ndarray, tokens: np.ndarray) -> Any:
    """What sampling without a cache draws at each position after the given tokens before it, by one pass over all of them.

    Where these are the given tokens, sampling without a cache gives them, by induction over the positions.
    """
    import jax
    import jax.numpy as jnp

    from geovq.models.sampling import draw_token

    n, length = tokens.shape
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(n, dtype=np.uint32))
    here = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(keys, jnp.arange(length))
    return jax.jit(jax.vmap(jax.vmap(lambda k, x: draw_token(k, x, 1.0, 0, 1.0))))(here, model(tokens, labels))
