"""Autoencoders of other conventions as GeoVQ's: channels first, images in [-1, 1], scaled latents, results in tuples and objects.

Nothing is guessed: `adapt` is told the conventions. What it is not told, and what does not fit, is refused with the argument
that mends it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.adapters import AnyArray, as_partial
from geovq.validation import InputError

Part = int | str | Callable[[Any], Any] | None
"""Which part of a result is meant: an index, a key or an attribute, or a function of the result. None: all of it, an array."""


class Autoencoder(NamedTuple):
    """A trained autoencoder in GeoVQ's convention: two functions of batches, each with its parameters."""

    encode: Partial
    """Images (n, H, W, C) in [0, 1] to latents (n, h, w, d)."""
    decode: Partial
    """Latents (n, h, w, d) to images (n, H, W, C) in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class Conventions:
    """What the given functions take and give. The fields are the arguments of `adapt`."""

    layout: str = "NHWC"
    range: tuple[float, float] = (0.0, 1.0)
    scale: float = 1.0
    shift: float = 0.0
    latents: Part = None
    images: Part = None
    in_torch: bool = False
    """Whether `from_torch` made the functions, which then take the latents and images out of results themselves."""

    def __post_init__(self) -> None:
        """Refuses conventions that do not exist."""
        if self.layout not in ("NHWC", "NCHW"):
            raise InputError(
                f"layout: expected 'NHWC' or 'NCHW', found {self.layout!r}; transpose other layouts in the functions."
            )
        if not (_are_numbers(self.range, 2) and self.range[0] < self.range[1]):
            raise InputError(
                f"range: expected two increasing finite numbers, found {self.range!r}; pass the least and the greatest "
                "intensity, such as (-1, 1) or (0, 255)."
            )
        object.__setattr__(self, "range", tuple(map(float, self.range)))
        for name, value in (("scale", self.scale), ("shift", self.shift)):
            if not _are_numbers((value,), 1) or (name == "scale" and value == 0):
                wanted = "a finite number other than 0" if name == "scale" else "a finite number"
                raise InputError(
                    f"{name}: expected {wanted}, found {value!r}; look it up in the autoencoder's settings."
                )
            object.__setattr__(self, name, float(value))
        for name, part in (("latents", self.latents), ("images", self.images)):
            if isinstance(part, bool) or not (part is None or isinstance(part, int | str) or callable(part)):
                raise InputError(
                    f"{name}: expected an index, a key, the name of an attribute, or a function, found {part!r}."
                )

    def call(self, **changes: Any) -> str:
        """The call of `adapt` or `from_torch` that states these conventions with some changes, as a user would write it."""
        changed = dataclasses.replace(self, **changes)
        default = Conventions(layout="NCHW", in_torch=True) if self.in_torch else Conventions()
        named = {field.name: getattr(changed, field.name) for field in dataclasses.fields(self)}
        options = [f"{name}={_literal(value)}" for name, value in named.items() if value != getattr(default, name)]
        given = "from_torch(module" if self.in_torch else "adapt(encode, decode"
        return f"geovq.{', '.join([given, *options])})"


def adapt(
    encode: Callable,
    decode: Callable,
    *,
    layout: str = "NHWC",
    range: tuple[float, float] = (0.0, 1.0),
    scale: float = 1.0,
    shift: float = 0.0,
    latents: Part = None,
    images: Part = None,
) -> Autoencoder:
    """An autoencoder of other conventions as two functions of GeoVQ's: images (n, H, W, C) in [0, 1], latents (n, h, w, d).

    `Tokenizer.fit(*geovq.adapt(encode, decode, layout="NCHW", range=(-1, 1)), images)`.

    Args:
        encode: Images in `layout` and `range` to latents in `layout`, or to something that holds them.
        decode: Latents in `layout` to images in `layout` and `range`, or to something that holds them.
        layout: "NHWC" (channels last) or "NCHW" (channels first), of images and latents.
        range: The intensities of black and white: (-1, 1), (0, 255), …
        scale: Latents are multiplied by it; diffusers calls it `scaling_factor`.
        shift: It is subtracted from latents first; diffusers calls it `shift_factor`. GeoVQ's latents are
            (theirs - shift) · scale.
        latents: Which part of what `encode` returns is the latents: an index, a key, the name of an attribute (a method is
            called without arguments; "latent_dist.mode" is an attribute of an attribute), or a function of the result. None if
            it returns an array.
        images: Which part of what `decode` returns is the images, likewise.

    Returns:
        Both functions, which carry the parameters of those given. An nnx module's method is taken as `from_nnx` does.

    Raises:
        InputError: A convention that does not exist, or something that cannot be called. Called with what they do not fit, the
            functions raise it too: where a result is no array it lists what was found, and the argument that mends it.
    """
    return adapt_to(Conventions(layout, range, scale, shift, latents, images), encode, decode)


def adapt_to(conventions: Conventions, encode: Callable, decode: Callable) -> Autoencoder:
    """`adapt` with the conventions as one object."""
    return Autoencoder(
        Partial(_Encode(conventions), as_partial(encode)), Partial(_Decode(conventions), as_partial(decode))
    )


def conventions_of(function: Callable) -> Conventions:
    """The conventions that a function was adapted with; GeoVQ's for one that was not."""
    inner = getattr(function, "func", None)
    return inner.conventions if isinstance(inner, _Encode | _Decode) else Conventions()


class _Encode(NamedTuple):
    conventions: Conventions

    def __call__(self, encode: Partial, images: Float[AnyArray, "n H W C"]) -> Float[AnyArray, "n h w d"]:
        layout, (low, high) = self.conventions.layout, self.conventions.range
        theirs = to_layout(images * (high - low) + low, layout)
        found = encode(theirs)
        if not self.conventions.in_torch:
            found = take_part("encode", "latents", self.conventions, found)
        return (from_layout(found, layout) - self.conventions.shift) * self.conventions.scale


class _Decode(NamedTuple):
    conventions: Conventions

    def __call__(self, decode: Partial, latents: Float[AnyArray, "n h w d"]) -> Float[AnyArray, "n H W C"]:
        layout, (low, high) = self.conventions.layout, self.conventions.range
        theirs = to_layout(latents / self.conventions.scale + self.conventions.shift, layout)
        found = decode(theirs)
        if not self.conventions.in_torch:
            found = take_part("decode", "images", self.conventions, found)
        return (from_layout(found, layout) - low) / (high - low)


def to_layout(batch: AnyArray, layout: str) -> AnyArray:
    """A batch with channels last in another layout."""
    return batch.transpose(0, 3, 1, 2) if layout == "NCHW" and batch.ndim == 4 else batch


def from_layout(batch: AnyArray, layout: str) -> AnyArray:
    """A batch in another layout with channels last."""
    return batch.transpose(0, 2, 3, 1) if layout == "NCHW" and batch.ndim == 4 else batch


def take_part(
    name: str,
    wanted: str,
    conventions: Conventions,
    found: Any,
    as_array: Callable[[Any], Any] = lambda part: part,
) -> AnyArray:
    """The array that is meant in what a function returned.

    Args:
        name: Of the function, for messages: "encode" or "decode".
        wanted: Of the argument that says which part: "latents" or "images".
        conventions: Of the functions: they say which part.
        found: What it returned.
        as_array: Takes a part to an array, where it is another library's.

    Returns:
        An array of NumPy or JAX, of floats.

    Raises:
        InputError: Something else than an array, which lists what there is and how to name it; or integers.
    """
    part = getattr(conventions, wanted)
    value = as_array(found if part is None else _part(name, wanted, conventions, found, part))
    if not isinstance(value, jax.Array | np.ndarray):
        listed, proposal = list_parts(value)
        if part is None:
            remedy = f"say which are the {wanted}: {conventions.call(**{wanted: proposal})}"
        else:
            remedy = f"name an array by {wanted}=..., or pass a function of the result that returns it"
        raise InputError(f"{name}: expected an array of {wanted}, found {listed}; {remedy}.")
    if not jax.numpy.issubdtype(value.dtype, jax.numpy.floating):
        before = "they are quantized" if wanted == "latents" else "rounding"
        raise InputError(f"{name}: expected {wanted} as floats, found {value.dtype}; return them before {before}.")
    return value


def _part(name: str, wanted: str, conventions: Conventions, found: Any, part: Part) -> Any:
    try:
        if callable(part):
            return part(found)
        if isinstance(part, int) or isinstance(found, Mapping):
            return found[part]
        value = found
        for attribute in str(part).split("."):
            value = getattr(value, attribute)
            value = value() if callable(value) else value
        return value
    except Exception as error:  # a function of the caller's may fail in any way
        listed, proposal = list_parts(found)
        raise InputError(
            f"{wanted}: expected a part of what {name} returns, which is {listed}, found {_literal(part)}, which fails with "
            f"{type(error).__name__}; use {conventions.call(**{wanted: proposal})}."
        ) from error


class Written(str):
    """Source text that stands in a proposed call as it is."""


def list_parts(found: Any) -> tuple[str, Part]:
    """What there is in a result, in words, and the likeliest way to name the latents or images in it."""
    if isinstance(found, jax.Array | np.ndarray):
        return f"an array {_shape(found)}", None
    if _is_tensor(found):
        return f"a torch tensor {_shape(found)}", Written("lambda tensor: tensor.detach().cpu().numpy()")
    kind = type(found).__name__
    if isinstance(found, Mapping):
        parts: dict[Any, Any] = dict(found)
        text = ", ".join(f"{key!r}: {_describe(value)}" for key, value in parts.items())
    elif isinstance(found, tuple | list):
        parts = dict(enumerate(found))
        text = ", ".join(f"[{i}]: {_describe(value)}" for i, value in parts.items())
    else:
        parts = {key: _attribute(found, key) for key in dir(found) if not key.startswith("_")}
        parts = {key: value for key, value in parts.items() if _describes(key, value)}
        text = ", ".join(f".{key}: {_describe(value)}" for key, value in parts.items())
    return f"a {kind} of {{{text}}}" if parts else f"{kind} {found!r:.60}", _propose(found, parts)


_LIKELY = ("latents", "latent", "mode", "mean", "mu", "loc", "z", "sample", "sample_", "x", "images", "reconstruction")
_DISTRIBUTIONS = ("latent_dist", "latent_distribution", "posterior", "dist", "distribution")


def _propose(found: Any, parts: Mapping[Any, Any]) -> Part:
    """The mean before anything that is drawn at random; then what is an array."""
    sample_last = [key for key in _LIKELY if key in parts]
    if sample_last and not (sample_last[0] == "sample" and callable(parts["sample"])):
        return sample_last[0]
    for key in _DISTRIBUTIONS:
        if key in parts:
            inner = list_parts(parts[key])[1]
            called = "()" if callable(_attribute(parts[key], str(inner))) else ""
            got = f"[{key!r}]" if isinstance(found, Mapping) else f".{key}"
            return Written(f"lambda found: found{got}.{inner}{called}")
    arrays = [key for key, value in parts.items() if isinstance(value, jax.Array | np.ndarray)]
    return arrays[0] if arrays else Written("lambda found: ...")


def _attribute(found: Any, name: str) -> Any:
    try:
        return getattr(found, name)
    except Exception:  # a property of the caller's object may fail in any way
        return None


def _describes(key: str, value: Any) -> bool:
    """Whether an attribute of an object is worth a line in a message."""
    return isinstance(value, jax.Array | np.ndarray) or _is_tensor(value) or key in (*_LIKELY, *_DISTRIBUTIONS)


def _describe(value: Any) -> str:
    if isinstance(value, jax.Array | np.ndarray):
        return f"array {_shape(value)}"
    return f"torch tensor {_shape(value)}" if _is_tensor(value) else type(value).__name__


def _shape(array: Any) -> str:
    return f"{tuple(array.shape)} {str(array.dtype).removeprefix('torch.')}"


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("torch", "torchax") and hasattr(value, "detach")


def _literal(value: Any) -> str:
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, tuple):
        return f"({', '.join(f'{number:g}' for number in value)})"
    if isinstance(value, float):
        return f"{value:g}"
    return getattr(value, "__name__", "...") if callable(value) else repr(value).replace("'", '"')


def _are_numbers(values: Any, count: int) -> bool:
    try:
        numbers = [float(value) for value in values if not isinstance(value, str | bool)]
    except (TypeError, ValueError):
        return False
    return len(numbers) == count == len(values) and all(map(math.isfinite, numbers))
