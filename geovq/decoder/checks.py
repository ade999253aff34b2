"""Checks that a decoder has a pullback metric: differentiable, finite, and each row of a batch by itself."""

from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.adapters import decode_one, flat, structure
from geovq.decoder.precision import computes_in_half
from geovq.validation import InputError

_accepted: dict[Hashable, int] = {}
"""Numbers of an image of every decoder that was accepted."""

_images: dict[Hashable, Any] = {}
"""Shapes of an image of every decoder that was asked for them."""

_ROWS = 8
"""Rows at most that are decoded together to see whether they depend on one another."""


def check_decoder(decode: Partial, latents: Float[np.ndarray, "n ..."]) -> int:
    """Checks that a decoder has a pullback metric; once in a process for each decoder, whatever its parameters.

    Args:
        decode: Decoder of one latent.
        latents: Some latents that it takes, n >= 1.

    Returns:
        Numbers p of an image.

    Raises:
        InputError: A decoder that JAX cannot trace, or not differentiate in both modes, whose output is empty or not of floats,
            or, for one from `single` or made of such, whose image of a latent depends on the rest of the batch.
    """
    key = structure(decode, latents.shape[1:]), latents.dtype.name
    if key in _accepted:
        return _accepted[key]
    latent = jax.ShapeDtypeStruct(latents.shape[1:], jax.dtypes.canonicalize_dtype(latents.dtype))
    try:
        image = jax.eval_shape(decode, latent)
    except InputError:
        raise
    except Exception as error:  # the caller's function may fail in any way
        raise InputError(
            f"decoder: expected a function of one latent {latent.shape} that JAX can trace, found {describe(error)}; "
            "check that shape, switch modules to evaluation mode, write the rest in jax.numpy, and wrap a decoder of batches in "
            "geovq.single."
        ) from error
    for leaf in jax.tree.leaves(image):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise InputError(
                f"decoder: expected intensities as floats, found {leaf.dtype}; return them before rounding."
            )
    numbers = sum(leaf.size for leaf in jax.tree.leaves(image))
    if numbers == 0:
        raise InputError(
            f"decoder: expected at least one intensity, found an empty output for a latent {latent.shape}."
        )
    try:
        # As the kernels do it: jax.jvp alone lets a custom_vjp pass.
        jax.eval_shape(lambda z: jax.vmap(jax.linearize(decode, z)[1])(z[None]), latent)
        jax.eval_shape(lambda z: jax.vjp(decode, z)[1](decode(z)), latent)
    except Exception as error:
        raise InputError(
            f"decoder: expected a function that JAX can differentiate, found {describe(error)}; give the part that fails "
            "a derivative, or write it in jax.numpy."
        ) from error
    for part in jax.tree.leaves(decode, is_leaf=_is_batched):
        if _is_batched(part) and _accepts(part, latent):
            check_rows_apart("decoder", part.args[0], latents[:_ROWS])
    _accepted[key] = numbers
    return numbers


def image_of(decode: Partial, shape: tuple[int, ...]) -> Any:
    """Shape and dtype of the image of a latent (h, w, d), or a tree of them; traced once for decoders of the same structure."""
    key = structure(decode, shape)
    if key not in _images:
        _images[key] = jax.eval_shape(decode, jax.ShapeDtypeStruct(shape, np.float32))
    return _images[key]


def _is_batched(part: Any) -> bool:
    return isinstance(part, Partial) and part.func is decode_one


def _accepts(part: Partial, latent: jax.ShapeDtypeStruct) -> bool:
    """Whether a part of a decoder takes the whole decoder's latents, as members of an ensemble do."""
    try:
        jax.eval_shape(part, latent)
    except Exception:  # its latents are others, which only the whole decoder can make
        return False
    return True


_NEGLIGIBLE = 0.005
"""Share of the largest value: above what rounding does on an accelerator, below what batch statistics do."""

_HALF = 0.03
"""The same where a function rounds to 16 bits on its way: four units in the last place of bfloat16."""


def check_rows_apart(name: str, function: Callable, rows: np.ndarray, together: Any = None) -> None:
    """Checks that a function of batches gives the same again, and for a row by itself what it gives for it beside others.

    Args:
        name: What the message calls the function.
        function: Takes a batch (n, ...) to an array, or a tree of arrays, with the same leading size.
        rows: A batch of at least one row.
        together: What it gave for these rows, if that is known.

    Raises:
        InputError: A function that takes no batches of any size, whose results are drawn at random, or that has another result
            for a row alone than beside the others, as with batch statistics.
    """
    if (rows == rows[:1]).all():
        rows, together = np.stack([rows[0], rows[0] / 2 if rows[0].any() else np.ones_like(rows[0])]), None
    means = rows.reshape(len(rows), -1).mean(axis=1)
    odd = int(np.abs(means - means.mean()).argmax())  # the row that others would change most
    row = rows[odd : odd + 1]
    try:
        together = function(rows) if together is None else together
        alone, again = function(row), function(row)
    except Exception as error:  # the caller's function may fail in any way
        raise InputError(
            f"{name}: expected a function of batches of any size, found that it fails with {describe(error)}; give it the axis n."
        ) from error
    share = _HALF if computes_in_half(function, row) else _NEGLIGIBLE
    for a, b, c in zip(*map(jax.tree.leaves, (alone, together, again)), strict=True):
        if a.shape[:1] != (1,) or b.shape != (len(rows), *a.shape[1:]):
            raise InputError(
                f"{name}: expected one result for each row, found shapes {a.shape} of one row and {b.shape} of {len(rows)}; "
                "keep the axis n."
            )
        if not jnp.issubdtype(a.dtype, jnp.floating):
            raise InputError(f"{name}: expected floats, found {a.dtype}; return them before rounding.")
        allowed = share * max(1e-6, float(jnp.abs(a).max()))
        if (difference := float(jnp.abs(a - c).max())) > allowed:
            raise InputError(
                f"{name}: expected the same result for the same input, found a difference of {difference:.3g}; draw nothing at "
                "random: return the mean or the mode of a posterior, and switch dropout to evaluation mode."
            )
        if (difference := float(jnp.abs(a[0] - b[odd]).max())) > allowed:
            raise InputError(
                f"{name}: expected the same result for a row alone as in a batch, found a difference of {difference:.3g}; "
                "switch batch normalization and dropout to evaluation mode, and leave out other batch statistics."
            )


def check_changes(decode: Partial, latents: Float[np.ndarray, "n ..."], found: np.ndarray) -> None:
    """Checks that derivatives do not vanish everywhere although the image changes.

    Args:
        decode: Decoder of one latent.
        latents: Where the derivatives were taken.
        found: Metrics, sketches or sums of them.

    Raises:
        InputError: A decoder that rounds or stops its gradients, as far as the first latent and the one farthest from it tell.
    """
    if found.any():
        return
    farthest = np.abs(latents - latents[0]).reshape(len(latents), -1).sum(axis=1).argmax()
    first, other = (jnp.asarray(latents[i]) for i in (0, farthest))
    same = np.array_equal(flat(decode, first), flat(decode, other))
    # The few signs of a sketch may cancel in a small image, where the derivative does not vanish.
    if not same and not np.any(jax.jvp(lambda latent: flat(decode, latent), (first,), (other - first,))[1]):
        raise InputError(
            "decoder: expected derivatives, found that all vanish although the image changes; remove rounding, "
            "thresholds and stop_gradient."
        )


def describe(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
