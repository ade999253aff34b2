"""Autoencoders in PyTorch as GeoVQ's: `from_torch` takes modules and functions, and diffusers' autoencoders as they are."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from geovq.decoder.conventions.adaptation import Autoencoder, Conventions, adapt
from geovq.decoder.conventions.parts import Part, take_part, write
from geovq.decoder.pytorch.copies import Frozen, freeze
from geovq.decoder.pytorch.environment import check_torch, to_jax
from geovq.decoder.pytorch.functions import TorchFunction
from geovq.validation import InputError


def from_torch(
    module: Any,
    decoder: Any = None,
    *,
    encode: str = "encode",
    decode: str = "decode",
    layout: str = "NCHW",
    range: tuple[float, float] | None = None,
    scale: float | None = None,
    shift: float | None = None,
    latents: Part = None,
    images: Part = None,
) -> Autoencoder:
    """An autoencoder in PyTorch as two JAX functions in GeoVQ's convention: `Tokenizer.fit(*geovq.from_torch(vae), images)`.

    diffusers' AutoencoderKL and AutoencoderTiny need no arguments: images in [-1, 1], the mean of the latents, and the
    scaling_factor and shift_factor of the module's config.

    Modules are copied in eval mode: the caller's are not changed, and later changes of them are not seen. They run in the type
    of their weights; call `module.float()` first if that is half precision, whose derivatives are coarse.

    Args:
        module: A torch.nn.Module with two methods, one that encodes and one that decodes. If `decoder` is given: the encoder
            alone, a module or a function of one tensor. A function may refer to modules and tensors by its own variables.
        decoder: The decoder, a module or a function of one tensor.
        encode: Name of the module's method that takes images to latents.
        decode: Name of the module's method that takes latents to images.
        layout: "NCHW" (channels first) or "NHWC" (channels last), of the module's images and latents.
        range: The module's intensities of black and white. None: (0, 1), or (-1, 1) for the two classes of diffusers. Other
            classes of diffusers need it.
        scale: Latents are multiplied by it, as by diffusers' `scaling_factor`. None: 1, or the config's for diffusers.
        shift: It is subtracted from latents first, as diffusers' `shift_factor`. None: 0, or the config's for diffusers.
        latents: Which part of what the encoder returns is the latents: an index, a key, the name of an attribute (a method is
            called without arguments; "latent_dist.mode" is an attribute of an attribute), or a PyTorch function of the result.
            None if it returns a tensor.
        images: Which part of what the decoder returns is the images, likewise.

    Returns:
        `encode` and `decode`, each a jax.tree_util.Partial of the weights. Modules that differ in weights alone share
        compiled code.

    Raises:
        InputError: PyTorch or torchax is missing or has another version, an argument is wrong or missing, or a module cannot be
            copied.
            Called, the functions raise it where torchax cannot trace the module, where it draws random numbers, and where a
            result is no tensor.
    """
    check_torch()
    conventions, omitted = _conventions(module, decoder is None, layout, range, scale, shift, latents, images)
    functions = _methods(module, encode, decode) if decoder is None else _pair(module, decoder, encode, decode)
    frozen = freeze(*functions)
    partials = [
        Partial(TorchFunction(name, frozen, index, _Take(name, wanted, conventions)), _weights(frozen, omitted[index]))
        for index, (name, wanted) in enumerate((("encode", "latents"), ("decode", "images")))
    ]
    return adapt(
        *partials,
        layout=conventions.layout,
        range=conventions.range,
        scale=conventions.scale,
        shift=conventions.shift,
    )


@dataclasses.dataclass(frozen=True)
class _Take:
    """Equal to another of the same conventions, so that compiled code is shared."""

    name: str
    wanted: str
    conventions: Conventions

    def __call__(self, found: Any) -> Any:
        part: Part = getattr(self.conventions, self.wanted)
        return take_part(found, part, name=self.name, wanted=self.wanted, call=self._call, as_array=to_jax)

    def _call(self, **changes: Any) -> str:
        """The call of `from_torch` with some changes, as a user would write it."""
        changed, default = dataclasses.replace(self.conventions, **changes), Conventions(layout="NCHW")
        options = {field.name: getattr(changed, field.name) for field in dataclasses.fields(changed)}
        stated = [f"{name}={write(value)}" for name, value in options.items() if value != getattr(default, name)]
        return f"geovq.from_torch({', '.join(['module', *stated])})"


def _methods(module: Any, *names: str) -> tuple[Callable, ...]:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"module: expected a torch.nn.Module, found {_kind(module)}; pass the module itself, or an encoder and a decoder: "
            "geovq.from_torch(encoder, decoder)."
        )
    for argument, name in zip(("encode", "decode"), names, strict=True):
        if not callable(getattr(module, name, None)):
            raise InputError(
                f"{argument}: expected a method of {type(module).__name__}, found {name!r}; name the one that {argument}s, or "
                "pass two functions: geovq.from_torch(encoder, decoder)."
            )
    return tuple(getattr(module, name) for name in names)


def _pair(encoder: Any, decoder: Any, *names: str) -> tuple[Callable, ...]:
    if names != ("encode", "decode"):
        raise InputError(
            f"encode, decode: expected no names of methods beside two functions, found {names}; pass the methods themselves: "
            "geovq.from_torch(encoder.method, decoder.method)."
        )
    for argument, function in (("module", encoder), ("decoder", decoder)):
        if not callable(function) or isinstance(function, type):
            raise InputError(
                f"{argument}: expected a torch.nn.Module or a function of one tensor, found {_kind(function)}; pass one."
            )
    return encoder, decoder


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


_DIFFUSERS: dict[str, str] = {"AutoencoderKL": "latent_dist.mode", "AutoencoderTiny": "latents"}
"""diffusers' autoencoders that need no arguments, each with the latents in what its encoder returns."""

_OF_OTHER = (("decoder.", "post_quant_conv."), ("encoder.", "quant_conv."))
"""The weights of these autoencoders that the encoder does not need, and those that the decoder does not need."""


def _conventions(
    module: Any,
    whole: bool,
    layout: str,
    range: tuple[float, float] | None,
    scale: float | None,
    shift: float | None,
    latents: Part,
    images: Part,
) -> tuple[Conventions, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The arguments, with what is known of diffusers' modules; and the weights that each function needs not."""
    kinds = [kind.__name__ for kind in type(module).__mro__ if kind.__module__.partition(".")[0] == "diffusers"]
    known = next((_DIFFUSERS[kind] for kind in kinds if kind in _DIFFUSERS), None) if whole else None
    if whole and kinds and known is None and range is None:
        raise InputError(
            f"range: expected the intensities of black and white of {type(module).__name__}, found none; state range=(-1, 1), as "
            f"most models of diffusers have, or (0, 1): only {' and '.join(_DIFFUSERS)} need no arguments."
        )
    if known is not None:
        range = (-1.0, 1.0) if range is None else range
        scale = getattr(module.config, "scaling_factor", None) if scale is None else scale
        shift = getattr(module.config, "shift_factor", None) if shift is None else shift
        latents, images = known if latents is None else latents, "sample" if images is None else images
    conventions = Conventions(
        layout,
        (0.0, 1.0) if range is None else range,
        1.0 if scale is None else scale,
        0.0 if shift is None else shift,
        latents,
        images,
    )
    return conventions, _OF_OTHER if known is not None else ((), ())


def _weights(frozen: Frozen, omitted: tuple[str, ...]) -> dict[str, Any]:
    """The weights without those of the first module whose names begin with one of `omitted`."""
    prefixes = tuple(f"held.0.{name}" for name in omitted)
    return {name: value for name, value in frozen.state.items() if not (prefixes and name.startswith(prefixes))}
