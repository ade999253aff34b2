"""Which part of what an encoder or a decoder returns is the array that is meant, and in words what there is where none is."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import jax.numpy as jnp

from geovq.decoder.precision import AnyArray
from geovq.validation import InputError

Part = int | str | Callable[[Any], Any] | None
"""Which part of a result is meant: an index, a key or an attribute, or a function of the result. None: all of it, an array."""


class PartError(InputError):
    """A result that is no array: the message has the call that names the array in it."""


class Source(str):
    """Python source that stands in a proposed call as it is."""


class Lambda(Source):
    """A function and its Python source: what is tried, and what the user is told to write."""

    function: Callable

    def __new__(cls, source: str, function: Callable) -> Self:
        """Equal to another of the same source."""
        made = super().__new__(cls, source)
        made.function = function
        return made

    def __call__(self, argument: Any) -> Any:
        """The function's result."""
        return self.function(argument)


def take_part(
    found: Any,
    part: Part,
    *,
    name: str,
    wanted: str,
    call: Callable[..., str],
    as_array: Callable[[Any], Any] = lambda value: value,
) -> AnyArray:
    """The array that is meant in what a function returned.

    Args:
        found: What it returned.
        part: Which part is meant.
        name: Of the function, for messages: "encode" or "decode".
        wanted: Of the argument that says which part: "latents" or "images".
        call: Writes the call of `geovq.adapt` with that argument, for messages.
        as_array: Takes another library's array to one of NumPy or JAX, and anything else to itself.

    Returns:
        An array of NumPy or JAX, of floats.

    Raises:
        PartError: Something else than an array.
        InputError: Integers.
    """
    try:
        value = as_array(found if part is None else _select(found, part))
    except Exception as error:  # a function of the caller's may fail in any way
        found = as_array(found)
        raise PartError(
            f"{wanted}: expected a part of what {name} returns, {list_parts(found)}, found {write(part)}, which fails with "
            f"{type(error).__name__}; use {call(**{wanted: propose(found)})}."
        ) from error
    if not isinstance(value, AnyArray):
        remedy = f"say which are the {wanted}: {call(**{wanted: propose(found)})}"
        if part is not None:
            remedy = f"let {wanted}=... name an array: {call(**{wanted: propose(found)})}"
        raise PartError(f"{name}: expected an array of {wanted}, found {list_parts(value)}; {remedy}.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        before = "they are quantized" if wanted == "latents" else "rounding"
        raise InputError(f"{name}: expected {wanted} as floats, found {value.dtype}; return them before {before}.")
    return value


def list_parts(found: Any) -> str:
    """What there is in a result: its kind, and the kinds and shapes of its parts."""
    if isinstance(found, AnyArray) or _is_tensor(found):
        return _describe(found)
    parts, kind = _parts(found), type(found).__name__
    names = {key: f".{key}" if _has_attributes(found) else f"[{write(key)}]" for key in parts}
    listed = ", ".join(f"{names[key]} {_describe(value)}" for key, value in parts.items())
    return f"{kind} with {listed}" if parts else f"{kind} without arrays"


_POINTS = ("latents", "latent", "mode", "mean", "mu", "loc", "z", "x", "images", "reconstruction", "sample", "sample_")
"""Names of parts that are the latents or images, the likeliest first; what is drawn at random comes last."""

_HOLDERS = ("latent_dist", "latent_distribution", "posterior", "distribution", "dist")
"""Names of parts that hold a distribution."""


def propose(found: Any) -> Part:
    """The likeliest way to name the latents or images in a result."""
    if _is_tensor(found):
        return Source("lambda tensor: tensor.detach().cpu().numpy()")
    if isinstance(found, AnyArray):
        return None
    parts = _parts(found)
    for key in _HOLDERS:
        inner = propose(parts[key]) if key in parts else None
        if isinstance(inner, str) and not isinstance(inner, Source):
            called = "()" if callable(getattr(parts[key], inner, None)) else ""
            held = f".{key}" if _has_attributes(found) else f'["{key}"]'
            return Source(f"lambda found: found{held}.{inner}{called}")
    arrays = [key for key, value in parts.items() if isinstance(value, AnyArray) or _is_tensor(value)]
    for key in _POINTS:
        if key in parts and (key in arrays or callable(parts[key])):
            return key
    return arrays[0] if arrays else Source("lambda found: ...")


def write(value: Any) -> str:
    """An argument as Python source."""
    if isinstance(value, Source):
        return str.__str__(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(write, value))})"
    if isinstance(value, float):
        return f"{value:g}"
    return getattr(value, "__name__", "...") if callable(value) else repr(value).replace("'", '"')


def _select(found: Any, part: int | str | Callable) -> Any:
    if callable(part):
        return part(found)
    if isinstance(part, int) or (isinstance(found, Mapping) and part in found):
        return found[part]
    for name in part.split("."):
        found = _named(found, name)
    return found


def _named(found: Any, name: str) -> Any:
    """A key's value; or an attribute's, which an object may have instead of keys, or besides."""
    if isinstance(found, Mapping) and (name in found or not hasattr(found, name)):
        return found[name]
    value = getattr(found, name)
    return value() if callable(value) else value


def _has_attributes(found: Any) -> bool:
    return not isinstance(found, Mapping | tuple | list)


def _parts(found: Any) -> dict[Any, Any]:
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, tuple | list):
        return dict(enumerate(found))
    parts = {}
    for key in dir(found):
        try:
            value = None if key.startswith("_") else getattr(found, key)
        except Exception:  # a property of the caller's object may fail in any way
            continue
        known = key in (*_POINTS, *_HOLDERS) and not isinstance(found, str | bytes | int | float)
        if isinstance(value, AnyArray) or _is_tensor(value) or (known and value is not None):
            parts[key] = value
    return parts


def _describe(value: Any) -> str:
    if isinstance(value, AnyArray) or _is_tensor(value):
        kind = "torch tensor" if _is_tensor(value) else "array"
        return f"{kind} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch or torchax, which need not be installed."""
    return type(value).__module__.partition(".")[0] in ("torch", "torchax") and hasattr(value, "detach")
