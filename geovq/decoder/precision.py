"""Decoders and encoders of any precision as functions of float32, or of float64 where latents are.

A decoder in bfloat16, float16 or float64 is called with the precision that it takes, and its images are converted back to the
precision of the latents. The derivatives of a conversion are conversions, so tangents and cotangents fit on both sides. Only
errors about types lead to another precision: a function that runs out of memory is not called again.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from geovq.validation import InputError

AnyArray = jax.Array | np.ndarray
"""An array of JAX or NumPy."""


def call_in_own_precision(function: Partial, batch: AnyArray) -> Any:
    """What a function gives for a batch, in the precision of the batch, and in float32 at least.

    A function that takes the batch as it is and gives its precision is only called, so that its compiled code stays the same.

    Args:
        function: A decoder or an encoder, with its parameters.
        batch: What it takes, in float32 or float64.

    Returns:
        An array, or a tree of arrays, with floats in the batch's precision. What is no array of floats stays as it is.

    Raises:
        Exception: What the function raises for the batch, if no other precision helps.
    """
    wide = jax.dtypes.canonicalize_dtype(jnp.promote_types(batch.dtype, jnp.float32))

    def widen(leaf: Any) -> Any:
        narrow = isinstance(leaf, AnyArray) and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != wide
        return leaf.astype(wide) if narrow else leaf

    return jax.tree.map(widen, _call(function, batch))


def _call(function: Partial, batch: AnyArray) -> Any:
    try:
        return function(batch)
    except (TypeError, ValueError) as error:
        if not _refuses_precision(error):
            raise
        for dtype in _precisions(function, batch.dtype):
            try:
                # NumPy's arithmetic makes float32 of bfloat16.
                given = jnp.asarray(batch) if dtype == jnp.bfloat16 else batch
                return function(given.astype(dtype))
            except (TypeError, ValueError) as other:
                if not _refuses_precision(other):
                    raise
        error.add_note(_TRIED)
        raise


_TRIED = "GeoVQ also called the function with other precisions."
"""Note of an error: a function around this one need not try the same again."""


def _refuses_precision(error: Exception) -> bool:
    """Whether an error may be one by which JAX refuses mixed precisions: its message has types in it."""
    other = isinstance(error, InputError | jax.errors.JAXTypeError) or _TRIED in getattr(error, "__notes__", ())
    return not other and re.search(r"\bd?types?\b|float\d", str(error)) is not None


def _precisions(function: Callable, given: Any) -> Iterator[Any]:
    """Precisions other than the given one that a function may want, its parameters' own first."""
    own = [leaf.dtype for leaf in jax.tree.leaves(function) if isinstance(leaf, AnyArray)]
    wide = [jax.dtypes.canonicalize_dtype(jnp.float64), jnp.dtype(jnp.float32)]
    every = [*own, *wide, jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)]
    return (dtype for dtype in dict.fromkeys(every) if dtype != given and jnp.issubdtype(dtype, jnp.floating))


def computes_in_half(function: Callable, batch: AnyArray) -> bool:
    """Whether a function rounds to 16 bits on its way; False for one that JAX cannot trace."""
    try:
        return "f16[" in str(jax.make_jaxpr(function)(batch))
    except Exception:  # the caller's function may fail in any way
        return False
