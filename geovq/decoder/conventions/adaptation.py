"""Autoencoders of other conventions as GeoVQ's: channels first, images in [-1, 1], scaled latents, results in tuples and objects.

`adapt` does what its arguments say and tries nothing else. Where a result does not fit them, the message has the argument that
mends it.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.adapters import AnyArray, as_partial
from geovq.decoder.conventions.parts import Part, take_part, write
from geovq.validation import InputError, shown


class ConventionWarning(UserWarning):
    """Reconstructions differ from the images as if a convention were wrong, or the autoencoder is weak."""


class Autoencoder(NamedTuple):
    """A trained autoencoder in GeoVQ's convention: two functions of batches, each with its parameters."""

    encode: Partial
    """Images (n, H, W, C) in [0, 1] to latents (n, h, w, d)."""
    decode: Partial
    """Latents (n, h, w, d) to images (n, H, W, C) in [0, 1]."""


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
        Both functions, which carry the parameters of the given ones. A method of an nnx module is taken as `from_nnx` does.

    Raises:
        InputError: A convention that does not exist, or something that cannot be called. The functions raise it too, where a
            result is no array of floats: it lists what was found, and the argument that mends it.
    """
    conventions = Conventions(layout, range, scale, shift, latents, images)
    return Autoencoder(
        Partial(_Encode(conventions), as_partial(encode, "encode")),
        Partial(_Decode(conventions), as_partial(decode, "decode")),
    )


@dataclasses.dataclass(frozen=True)
class Conventions:
    """What the given functions take and give. The fields are the arguments of `adapt`."""

    layout: str = "NHWC"
    range: tuple[float, float] = (0.0, 1.0)
    scale: float = 1.0
    shift: float = 0.0
    latents: Part = None
    images: Part = None

    def __post_init__(self) -> None:
        """Refuses conventions that do not exist."""
        if not (isinstance(self.layout, str) and self.layout in ("NHWC", "NCHW")):
            raise InputError(
                f"layout: expected 'NHWC' or 'NCHW', found {shown(self.layout)}; transpose other layouts in the functions."
            )
        if not (_are_numbers(self.range, 2) and self.range[0] < self.range[1]):
            raise InputError(
                f"range: expected two increasing finite numbers, found {shown(self.range)}; pass the least and the greatest "
                "intensity, such as (-1, 1) or (0, 255)."
            )
        for name, value in (("scale", self.scale), ("shift", self.shift)):
            if not _are_numbers([value], 1) or (name == "scale" and value == 0):
                wanted = "a finite number other than 0" if name == "scale" else "a finite number"
                raise InputError(
                    f"{name}: expected {wanted}, found {shown(value)}; look it up in the autoencoder's settings."
                )
            object.__setattr__(self, name, float(value))
        object.__setattr__(self, "range", tuple(map(float, self.range)))
        for name, part in (("latents", self.latents), ("images", self.images)):
            if isinstance(part, bool) or not (part is None or isinstance(part, int | str) or callable(part)):
                raise InputError(
                    f"{name}: expected an index, a key, the name of an attribute, or a function of the result, found "
                    f"{shown(part)}; change it."
                )

    def call(self, encode: str = "encode", decode: str = "decode", **changes: Any) -> str:
        """The call of `adapt` that states these conventions with some changes, as a user would write it."""
        changed, default = dataclasses.replace(self, **changes), Conventions()
        options = {field.name: getattr(changed, field.name) for field in dataclasses.fields(self)}
        stated = [f"{name}={write(value)}" for name, value in options.items() if value != getattr(default, name)]
        return f"geovq.adapt({', '.join([encode, decode, *stated])})"


def _are_numbers(values: Any, count: int) -> bool:
    try:
        numbers = [float(value) for value in values if not isinstance(value, str | bool)]
    except (TypeError, ValueError):
        return False
    return len(numbers) == count == len(values) and all(map(math.isfinite, numbers))


class _Encode(NamedTuple):
    conventions: Conventions

    def __call__(self, encode: Partial, images: Float[AnyArray, "n H W C"]) -> Float[AnyArray, "n h w d"]:
        to = self.conventions
        low, high = to.range
        found = encode(_transpose(images * (high - low) + low, to.layout, (0, 3, 1, 2)))
        found = take_part(found, to.latents, name="encode", wanted="latents", call=to.call)
        return (_transpose(found, to.layout, (0, 2, 3, 1)) - to.shift) * to.scale


class _Decode(NamedTuple):
    conventions: Conventions

    def __call__(self, decode: Partial, latents: Float[AnyArray, "n h w d"]) -> Float[AnyArray, "n H W C"]:
        to = self.conventions
        low, high = to.range
        found = decode(_transpose(latents / to.scale + to.shift, to.layout, (0, 3, 1, 2)))
        found = take_part(found, to.images, name="decode", wanted="images", call=to.call)
        return (_transpose(found, to.layout, (0, 2, 3, 1)) - low) / (high - low)


def _transpose(batch: AnyArray, layout: str, axes: tuple[int, ...]) -> AnyArray:
    """From one layout to the other; what is no batch of grids stays for the checks to refuse."""
    return batch.transpose(axes) if layout == "NCHW" and batch.ndim == 4 else batch
