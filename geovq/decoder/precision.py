"""Decoders and encoders of any precision as functions of float32, or of float64 where latents are.

A decoder in bfloat16, float16 or float64 is called with what it takes, and its images are those of its latents' precision. The
derivatives of a conversion are conversions, so tangents and cotangents fit on both sides.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from geovq.validation import InputError

AnyArray = jax.Array | np.ndarray


def call_in_own_precision(function: Partial, batch: AnyArray) -> Any:
    """What a function gives for a batch, in the precision of the batch, and in float32 at least.

    A function that takes the batch as it is and gives its precision is only called, so that its compiled code stays the same.

    Args:
        function: A decoder or an encoder, with its parameters.
        batch: What it takes, in float32 or float64.

    Returns:
        An array, or a tree of arrays; those of floats in the batch's precision. What is no array of floats stays as it is.
    """
    wide = jax.dtypes.canonicalize_dtype(jnp.promote_types(batch.dtype, jnp.float32))

    def widen(leaf: Any) -> Any:
        narrow = isinstance(leaf, AnyArray) and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != wide
        return leaf.astype(wide) if narrow else leaf

    return jax.tree.map(widen, _call(function, batch))


def _call(function: Partial, batch: AnyArray) -> Any:
    try:
        return function(batch)
    except InputError:
        raise
    except Exception:  # operations of jax.lax refuse mixed precisions, each in its own way
        for dtype in _precisions(function):
            try:
                return function(batch.astype(dtype))
            except Exception:
                continue
        raise


def _precisions(function: Callable) -> Iterator[Any]:
    """Precisions that a function may want, its parameters' own first."""
    own = [leaf.dtype for leaf in jax.tree.leaves(function) if isinstance(leaf, AnyArray)]
    wide = [jax.dtypes.canonicalize_dtype(jnp.float64), jnp.dtype(jnp.float32)]
    every = [*own, *wide, jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)]
    return (dtype for dtype in dict.fromkeys(every) if jnp.issubdtype(dtype, jnp.floating))


def computes_in_half(function: Callable, batch: AnyArray) -> bool:
    """Whether a function rounds to 16 bits on its way; False for one that JAX cannot trace."""
    try:
        return "f16[" in str(jax.make_jaxpr(function)(batch))
    except Exception:  # the caller's function may fail in any way
        return False
