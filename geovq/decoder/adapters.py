"""Decoders of any library, as functions of one latent that carry their parameters with them.

A decoder takes one latent, of any shape, to one image: an array of floats of any shape, or a tree of such arrays, in intensity
units. It may be any function that JAX can trace and differentiate. A `jax.tree_util.Partial` of a function and its parameters
is best: then other parameters do not compile again, while those that a plain function closes over are compiled in, and stay as
they were. `from_nnx` and `from_linen` make one out of a module; `single` makes a decoder of one latent out of a decoder of
batches.
"""

import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.decoder.precision import AnyArray as AnyArray
from geovq.decoder.precision import call_in_own_precision
from geovq.validation import InputError, shown

Decoder = Callable[[Any], Any]
"""One latent, of any shape, to one image, of any shape, in intensity units."""


@runtime_checkable
class LinenModule(Protocol):
    """What `from_linen` needs of a `flax.linen.Module`."""

    def apply(self, variables: Any, *args: Any, method: str | None = None) -> Any:
        """Calls a method with the variables."""


def from_nnx(module: nnx.Module, method: str = "__call__") -> Partial:
    """A method of an nnx module, as a pure compiled function.

    Args:
        module: The module, in evaluation mode; later changes to it are not seen.
        method: Name of the method; it takes one array.

    Returns:
        The function, with the module's parameters. Modules of one structure share their compiled code, unless an attribute
        cannot be hashed.

    Raises:
        InputError: Something else than a module, or one without that method.
    """
    if not isinstance(module, nnx.Module):
        raise InputError(f"module: expected an nnx.Module, found {type(module).__name__}; pass the module itself.")
    _check_method(module, method)
    graphdef, state = nnx.split(module)
    kept = jax.tree.map(lambda leaf: leaf, state)  # the module goes on to write into its own
    return Partial(_Compiled(_hashable(_NnxMethod(graphdef, method))), kept)


def from_linen(module: LinenModule, variables: Any, method: str = "__call__") -> Partial:
    """A method of a Linen module, as a pure compiled function.

    Args:
        module: The module, in evaluation mode.
        variables: Its variables, parameters and all.
        method: Name of the method; it takes one array.

    Returns:
        The function, with the variables. Equal modules share their compiled code, unless an attribute cannot be hashed.

    Raises:
        InputError: Something else than a module, or one without that method.
    """
    if not hasattr(module, "apply"):
        raise InputError(
            f"module: expected a flax.linen.Module, found {type(module).__name__}; pass the module itself."
        )
    _check_method(module, method)
    return Partial(_Compiled(_hashable(_LinenMethod(module, method))), variables)


def _check_method(module: Any, method: str) -> None:
    if not (isinstance(method, str) and callable(getattr(module, method, None))):
        raise InputError(
            f"method: expected one of {type(module).__name__}, found {shown(method)}; name the one that takes a batch."
        )


class _NnxMethod(NamedTuple):
    """Equal to another of the same structure, so that compiled code is shared."""

    graphdef: nnx.GraphDef
    method: str

    def __call__(self, state: nnx.State, x: AnyArray) -> Any:
        module, before = nnx.merge(self.graphdef, state), jax.tree.leaves(state)
        result = getattr(module, self.method)(x)
        after = jax.tree.leaves(nnx.state(module))
        if len(before) != len(after) or any(a is not b for a, b in zip(before, after, strict=True)):
            raise InputError(
                f"{self.method}: expected a module that only reads its state, found one that changes it, as batch statistics "
                "and dropout do; call module.eval() first, and draw nothing at random."
            )
        return result


class _LinenMethod(NamedTuple):
    module: LinenModule
    method: str

    def __call__(self, variables: Any, x: AnyArray) -> Any:
        return self.module.apply(variables, x, method=self.method)


class _Compiled(NamedTuple):
    function: Callable

    def __call__(self, parameters: Any, x: AnyArray) -> Any:
        return _run(self.function, parameters, x)


@functools.partial(jax.jit, static_argnums=0)
def _run(function: Callable, parameters: Any, x: AnyArray) -> Any:
    return function(parameters, x)


def _hashable(function: Any) -> Any:
    """The same function; one that cannot be hashed becomes a bound method, which is equal to that of the same object alone."""
    try:
        hash(function)
    except TypeError:
        return function.__call__
    return function


def as_partial(decode: Callable, name: str = "decoder") -> Partial:
    """The same function as a pytree, so that it can be an argument of compiled code, in float32 whatever it computes in.

    An nnx module, or a method of one, is taken as it is now, as `from_nnx` does.

    Args:
        decode: Anything that can be called.
        name: What messages call it.

    Returns:
        The function, behind `geovq.decoder.precision`; `decode` itself where it is such a pytree.

    Raises:
        InputError: Something that cannot be called, a PyTorch module, or a Partial with arguments that are not arrays or numbers.
    """
    if isinstance(decode, Partial) and decode.func is call_in_own_precision:
        return decode
    return Partial(call_in_own_precision, _as_pytree(decode, name))


def _as_pytree(decode: Callable, name: str) -> Partial:
    if isinstance(decode, Partial):
        for leaf in jax.tree.leaves((decode.args, decode.keywords)):
            if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | complex):
                raise InputError(
                    f"{name}: expected a Partial of arrays and numbers, found {type(leaf).__name__} among its arguments; "
                    "let a function close over the others."
                )
        function = _hashable(decode.func)
        return decode if function is decode.func else Partial(function, *decode.args, **decode.keywords)
    module = getattr(decode, "__self__", decode)
    if any(base.__module__.partition(".")[0] == "torch" for base in type(module).__mro__):
        raise InputError(
            f"{name}: expected a function of JAX, found {type(module).__name__} of PyTorch; use "
            "encode, decode = geovq.from_torch(module)."
        )
    if not callable(decode):
        raise InputError(
            f"{name}: expected a function, found {type(decode).__name__}; pass a function, or a method of a module."
        )
    if isinstance(module, nnx.Module):
        return from_nnx(module, "__call__" if module is decode else decode.__name__)
    return Partial(_hashable(decode))


def single(decode: Callable) -> Partial:
    """The decoder of one latent that a decoder of batches contains, such as (h, w, d) -> (H, W, C)."""
    return Partial(decode_one, as_partial(decode))


def decode_one(decode: Callable, latent: AnyArray) -> Any:
    """The image of one latent by a decoder of batches."""

    def only(images: AnyArray) -> AnyArray:
        if jnp.shape(images)[:1] != (1,):
            raise InputError(
                f"decoder: expected a batch of one image for a batch of one latent, found shape {jnp.shape(images)}; "
                "a decoder of one latent needs no geovq.single."
            )
        return images[0]

    return jax.tree.map(only, decode(latent[None]))


def in_context(
    decode: Decoder,
    grid: Float[AnyArray, "h w d"],
    row: int | Int[Array, ""],
    column: int | Int[Array, ""],
) -> Partial:
    """The decoder of one token, with the other latents of its grid held fixed: one field of metrics on R^d.

    Args:
        decode: Takes one grid (h, w, d) to one image.
        grid: The context.
        row: Of the token.
        column: Of the token.

    Returns:
        One latent (d,) to the image. Other contexts and positions do not compile again.

    Raises:
        InputError: A position outside the grid.
    """
    h, w = jnp.shape(grid)[:2]
    for name, index, size in (("row", row, h), ("column", column, w)):
        if isinstance(index, int | np.integer) and not 0 <= index < size:
            raise InputError(f"{name}: expected 0..{size - 1} for a grid {h}x{w}, found {index}.")
    return Partial(_with_token, as_partial(decode), jnp.asarray(grid), jnp.asarray([row, column]))


def _with_token(decode: Decoder, grid: Array, position: Array, token: AnyArray) -> Any:
    return decode(grid.at[position[0], position[1]].set(token))


def flat(decode: Decoder, latent: AnyArray) -> Float[Array, " p"]:
    """The image of one latent as one vector (p,); all arrays of a tree one after the other."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(decode(latent))])


def structure(decode: Partial, shape: tuple[int, ...]) -> Hashable:
    """What compiled code depends on: the function, the shapes of its parameters, and the latent's."""
    leaves, treedef = jax.tree.flatten(decode)
    return treedef, tuple((jnp.shape(leaf), jnp.result_type(leaf).name) for leaf in leaves), shape
