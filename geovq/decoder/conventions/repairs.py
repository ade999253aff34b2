"""Calls of `geovq.adapt` that may mend an autoencoder: each as functions to try, and as the source that the user writes."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from geovq.decoder.conventions.adaptation import Autoencoder, Conventions, adapt
from geovq.decoder.conventions.parts import Lambda


class Repair(NamedTuple):
    """A call of `adapt` on two functions, or on changes of them."""

    wrong: str
    """What it mends, as a clause."""
    layout: str = "NHWC"
    range: tuple[float, float] = (0.0, 1.0)
    latents: Lambda | None = None
    images: Lambda | None = None
    encode: Lambda | None = None
    """Takes the given encoder to the one that is adapted; None for the given one itself."""
    decode: Lambda | None = None
    swapped: bool = False
    """Whether the given functions change places."""

    def apply(self, encode: Callable, decode: Callable) -> Autoencoder:
        """The mended autoencoder."""
        first, second = (decode, encode) if self.swapped else (encode, decode)
        return adapt(
            first if self.encode is None else self.encode(first),
            second if self.decode is None else self.decode(second),
            **self._options(),
        )

    def source(self) -> str:
        """The call."""
        first, second = ("decode", "encode") if self.swapped else ("encode", "decode")
        return Conventions().call(
            first if self.encode is None else str.__str__(self.encode),
            second if self.decode is None else str.__str__(self.decode),
            **self._options(),
        )

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("layout", "range", "latents", "images")}


def _of(source: str, function: Callable) -> Lambda:
    return Lambda(f"lambda {source}", function)


_ENCODE_FLAT = _of("x: encode(x.reshape(len(x), -1))", lambda f: lambda x: f(x.reshape(len(x), -1)))
_TO_GRID = _of("z: z[:, None, None]", lambda z: z[:, None, None])
_DECODE_VECTORS = _of("z: decode(z[:, 0, 0])", lambda f: lambda z: f(z[:, 0, 0]))
_DECODE_FIRST = _of("z: decode(z.transpose(0, 3, 1, 2))", lambda f: lambda z: f(z.transpose(0, 3, 1, 2)))
_LAST = _of("y: y.transpose(0, 2, 3, 1)", lambda y: y.transpose(0, 2, 3, 1))

LATENTS_FIRST = Repair(
    "the latents have channels first",
    latents=_of("z: z.transpose(0, 2, 3, 1)", lambda z: z.transpose(0, 2, 3, 1)),
    decode=_DECODE_FIRST,
)


def repairs_of_shapes(images: tuple[int, ...], latents: tuple[int, ...] | None) -> list[Repair]:
    """Repairs of functions that fail or give other shapes, the likeliest first.

    Args:
        images: Shape (n, H, W, C) of what they failed on.
        latents: Shape of what the encoder gave; None where it failed.
    """
    _, height, width, channels = images
    to_images = _of(
        f"y: y.reshape(-1, {height}, {width}, {channels})", lambda y: y.reshape(-1, height, width, channels)
    )
    first_half = _of("m: m[:, : m.shape[1] // 2]", lambda m: m[:, : m.shape[1] // 2])
    last_half = _of("m: m[..., : m.shape[-1] // 2]", lambda m: m[..., : m.shape[-1] // 2])
    moments = "the encoder gives means and log-variances in one array"
    found = [
        Repair("both functions have channels first", layout="NCHW"),
        Repair("they are in the wrong order", swapped=True),
        Repair("they are in the wrong order and have channels first", layout="NCHW", swapped=True),
        Repair(moments, latents=last_half),
        Repair(f"{moments}, and both have channels first", layout="NCHW", latents=first_half),
        Repair("the decoder gives channels first", images=_LAST),
        Repair("the decoder has channels first", images=_LAST, decode=_DECODE_FIRST),
        Repair(
            "the decoder gives width before height",
            images=_of("y: y.transpose(0, 2, 1, 3)", lambda y: y.transpose(0, 2, 1, 3)),
        ),
        Repair("latents are vectors", latents=_TO_GRID, decode=_DECODE_VECTORS),
        Repair("images are vectors", images=to_images, encode=_ENCODE_FLAT),
        Repair(
            "images and latents are vectors", "NHWC", (0.0, 1.0), _TO_GRID, to_images, _ENCODE_FLAT, _DECODE_VECTORS
        ),
        Repair(
            "images have no axis of channels",
            images=_of("y: y[..., None]", lambda y: y[..., None]),
            encode=_of("x: encode(x[..., 0])", lambda f: lambda x: f(x[..., 0])),
        ),
        Repair(
            "both functions take a single image",
            encode=Lambda("jax.vmap(encode)", jax.vmap),
            decode=Lambda("jax.vmap(decode)", jax.vmap),
        ),
    ]
    if latents is not None and len(latents) == 3:
        found.insert(0, _sequences(height, width, *latents[1:]))
    return found


def _sequences(height: int, width: int, t: int, d: int) -> Repair:
    """Latents (n, t, d) in the order of a grid of the images' proportions."""
    h = max(1, round(math.sqrt(t * height / width)))
    return Repair(
        "latents are sequences",
        latents=_of(f"z: z.reshape(-1, {h}, {t // h}, {d})", lambda z: z.reshape(-1, h, t // h, d)),
        decode=_of(f"z: decode(z.reshape(-1, {t}, {d}))", lambda f: lambda z: f(z.reshape(-1, t, d))),
    )


INPUTS: dict[str, Lambda] = {
    "in [-1, 1]": _of("x: encode(2 * x - 1)", lambda f: lambda x: f(2 * x - 1)),
    "in [0, 255]": _of("x: encode(255 * x)", lambda f: lambda x: f(255 * x)),
    "in [0, 1] where they are mapped to [-1, 1]": _of("x: encode((x + 1) / 2)", lambda f: lambda x: f((x + 1) / 2)),
    "as BGR": _of("x: encode(x[..., ::-1])", lambda f: lambda x: f(x[..., ::-1])),
    "with width before height": _of(
        "x: encode(x.transpose(0, 2, 1, 3))", lambda f: lambda x: f(x.transpose(0, 2, 1, 3))
    ),
}
"""How an encoder may want images."""

OUTPUTS: dict[str, Lambda] = {
    "in [-1, 1]": _of("y: (y + 1) / 2", lambda y: (y + 1) / 2),
    "in [0, 255]": _of("y: y / 255", lambda y: y / 255),
    "in [0, 1] where they are mapped from [-1, 1]": _of("y: 2 * y - 1", lambda y: 2 * y - 1),
    "as BGR": _of("y: y[..., ::-1]", lambda y: y[..., ::-1]),
    "with width before height": _of("y: y.transpose(0, 2, 1, 3)", lambda y: y.transpose(0, 2, 1, 3)),
    "as logits": Lambda("jax.nn.sigmoid", jax.nn.sigmoid),
    "inverted": _of("y: 1 - y", lambda y: 1 - y),
    "upside down": _of("y: y[:, ::-1]", lambda y: y[:, ::-1]),
}
"""How a decoder may give images."""


def _scales(scale: float, shift: float) -> dict[str, Lambda]:
    """Both ways to mend latents of which only one function has (latents - shift) · scale."""
    if not shift:
        return {
            f"latents times {scale:g}": _of(f"z: decode({scale} * z)", lambda f: lambda z: f(scale * z)),
            f"latents divided by {scale:g}": _of(f"z: decode(z / {scale})", lambda f: lambda z: f(z / scale)),
        }
    return {
        f"latents minus {shift:g}, times {scale:g}": _of(
            f"z: decode({scale} * (z - {shift}))", lambda f: lambda z: f(scale * (z - shift))
        ),
        f"latents divided by {scale:g}, plus {shift:g}": _of(
            f"z: decode(z / {scale} + {shift})", lambda f: lambda z: f(z / scale + shift)
        ),
    }


LATENTS: dict[str, Lambda] = {
    **_scales(0.18215, 0),  # Stable Diffusion
    **_scales(0.13025, 0),  # SDXL
    **_scales(1.5305, 0.0609),  # Stable Diffusion 3
    **_scales(0.3611, 0.1159),  # FLUX
}
"""How a decoder may want latents."""

_RANGES = {"in [-1, 1]": (-1.0, 1.0), "in [0, 255]": (0.0, 255.0)}


class Values(NamedTuple):
    """Conventions of values: names of `INPUTS`, `LATENTS` and `OUTPUTS`; None for GeoVQ's."""

    taken: str | None = None
    latents: str | None = None
    given: str | None = None

    def repair(self) -> Repair:
        """The repair of functions of these conventions."""
        if self.taken == self.given and self.taken in _RANGES and self.latents is None:
            return Repair(f"both functions have images {self.taken}", range=_RANGES[self.taken])
        clauses = {"the encoder takes images": self.taken, "the decoder takes": self.latents}
        clauses["the decoder gives images"] = self.given
        return Repair(
            " and ".join(f"{clause} {name}" for clause, name in clauses.items() if name),
            images=OUTPUTS[self.given] if self.given else None,
            encode=INPUTS[self.taken] if self.taken else None,
            decode=LATENTS[self.latents] if self.latents else None,
        )
