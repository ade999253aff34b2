"""TinyAutoencoder: the TAESD family (Ollin Boer Bohan), small autoencoders for the latents of Stable Diffusion and FLUX.

taesd and taesdxl have 4 latent channels, taesd3 and taef1 have 16. Nothing is random and every row is by itself.
"""

import os
import pathlib
import re
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geovq.decoder.adapters import AnyArray
from geovq.models.config import TinyAutoencoderConfig
from geovq.models.convolutions import (
    check_blocks,
    check_dtype,
    check_image_batch,
    check_latent_batch,
    check_latent_scale,
    check_sizes,
    convolution,
    enlarge_twice,
)
from geovq.models.pretrained import (
    CONFIG,
    WEIGHTS,
    ConfigFile,
    find_folder,
    find_model,
    model_names,
    read_tensors,
    weights_file,
    write_model,
)
from geovq.models.torch_tensors import build, tensors_of
from geovq.validation import InputError

_CLASS = "AutoencoderTiny"
"""The model's name in diffusers."""

_ENCODER, _DECODER = "_encoder.safetensors", "_decoder.safetensors"

_LAYER = re.compile("[0-9]{1,4}")
"""What the author's names begin with."""
"""What the author's files end in."""


class Rectifier(nnx.Module):
    """max(x, 0), as a layer: layers count as in PyTorch's files, where those without parameters count too."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Same shape."""
        return nnx.relu(x)


class Enlarge(nnx.Module):
    """Nearest upsampling by two, as a layer."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """(n, h, w, c) -> (n, 2h, 2w, c)."""
        return enlarge_twice(x)


class Block(nnx.Module):
    """Rectified x + three 3x3 convolutions of it, with rectifiers between them."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        """Convolutions of `width` channels."""
        first, second, third = (convolution(width, width, dtype=dtype, rngs=rngs) for _ in range(3))
        self.conv = nnx.List([first, Rectifier(), second, Rectifier(), third])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Same shape."""
        return nnx.relu(_apply(self.conv, x) + x)


def _apply(layers: nnx.List, x: Array) -> Array:
    for layer in layers:
        x = layer(x)
    return x


class Encoder(nnx.Module):
    """Images -> latents."""

    def __init__(self, config: TinyAutoencoderConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        """Initial weights."""
        self.config = config
        self.dtype = np.dtype(dtype)
        width = config.width
        layers: list[nnx.Module] = []
        for level, blocks in enumerate(config.num_encoder_blocks):
            if level == 0:
                layers.append(convolution(config.image_channels, width, dtype=dtype, rngs=rngs))
            else:
                layers.append(convolution(width, width, stride=2, bias=False, dtype=dtype, rngs=rngs))
            layers += [Block(width, dtype=dtype, rngs=rngs) for _ in range(blocks)]
        layers.append(convolution(width, config.latent_channels, dtype=dtype, rngs=rngs))
        self.layers = nnx.List(layers)

    def __call__(self, images: Float[AnyArray, "n H W C"]) -> Float[Array, "n h w d"]:
        """Latents of images in [0, 1]."""
        check_image_batch(images, self.config.image_channels, self.config.stride)
        latents = _apply(self.layers, jnp.asarray(images, self.dtype))
        return (latents - self.config.shift_factor) * self.config.scaling_factor


class Decoder(nnx.Module):
    """Latents -> images, about in [0, 1]."""

    def __init__(self, config: TinyAutoencoderConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        """Initial weights."""
        self.config = config
        self.dtype = np.dtype(dtype)
        width = config.width
        layers: list[nnx.Module] = [convolution(config.latent_channels, width, dtype=dtype, rngs=rngs), Rectifier()]
        for blocks in config.num_decoder_blocks[:-1]:
            layers += [Block(width, dtype=dtype, rngs=rngs) for _ in range(blocks)]
            layers += [Enlarge(), convolution(width, width, bias=False, dtype=dtype, rngs=rngs)]
        layers += [Block(width, dtype=dtype, rngs=rngs) for _ in range(config.num_decoder_blocks[-1])]
        layers.append(convolution(width, config.image_channels, dtype=dtype, rngs=rngs))
        self.layers = nnx.List(layers)

    def __call__(self, latents: Float[AnyArray, "n h w d"]) -> Float[Array, "n H W C"]:
        """Images of latents, not clipped."""
        check_latent_batch(latents, self.config.latent_channels)
        raw = jnp.asarray(latents, self.dtype) / self.config.scaling_factor + self.config.shift_factor
        return _apply(self.layers, 3 * jnp.tanh(raw / 3))


class TinyAutoencoder(nnx.Module):
    """A small convolutional autoencoder: images (n, H, W, 3) in [0, 1] <-> latents (n, H/8, W/8, d), for any size that 8 divides.

    `from_pretrained` reads published weights. `encoder` and `decoder` are modules too: `geovq.from_nnx(model.decoder)`.

    Source: TAESD, https://github.com/madebyollin/taesd; diffusers calls it AutoencoderTiny.
    """

    def __init__(self, config: TinyAutoencoderConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        """Initial weights of both networks.

        Args:
            config: Sizes.
            dtype: Of parameters, arithmetic and results.
            rngs: Source of the initial weights.

        Raises:
            InputError: Impossible sizes, or a dtype that is not of floats.
        """
        _check_config(config)
        self.config = config
        self.encoder = Encoder(config, dtype=check_dtype(dtype), rngs=rngs)
        self.decoder = Decoder(config, dtype=check_dtype(dtype), rngs=rngs)

    def encode(self, images: Float[AnyArray, "n H W C"]) -> Float[Array, "n h w d"]:
        """Latents of images.

        Args:
            images: In [0, 1], (n, H, W, C); the stride divides H and W.

        Returns:
            Latents (n, H/stride, W/stride, d), as the diffusion model takes them.

        Raises:
            InputError: Another shape, integers, or sizes that the stride does not divide.
        """
        return self.encoder(images)

    def decode(self, latents: Float[AnyArray, "n h w d"]) -> Float[Array, "n H W C"]:
        """Images of latents.

        Args:
            latents: (n, h, w, d).

        Returns:
            Images (n, h·stride, w·stride, C), about in [0, 1] and not clipped.

        Raises:
            InputError: Another shape, or integers.
        """
        return self.decoder(latents)

    @classmethod
    def from_pretrained(
        cls, folder_or_repository: str | os.PathLike, name: str | None = None, *, dtype: DTypeLike = jnp.float32
    ) -> Self:
        """Reads published weights.

        Two layouts are known: the author's NAME_encoder.safetensors with NAME_decoder.safetensors, and diffusers' config.json
        with diffusion_pytorch_model.safetensors, in the folder or in its subfolder `vae`. Only safetensors are read; nothing
        is unpickled.

        Args:
            folder_or_repository: A folder; or, if huggingface_hub is installed, a repository OWNER/NAME, which is downloaded.
            name: Which model of the folder: the author's name, such as taesd, or a subfolder. None where there is only one.
            dtype: Of parameters, arithmetic and results, whatever the file has.

        Returns:
            The model.

        Raises:
            InputError: Missing, damaged or ambiguous files, an unsupported config, or tensors of another model, which are named.
        """
        wanted = check_dtype(dtype)
        stem = "*" if name is None else name
        folder = find_folder(folder_or_repository, name, (f"{stem}{_ENCODER}", f"{stem}{_DECODER}"))
        model = find_model(folder, name)
        if model is not None and not (name and _has_original_files(folder, name)):
            config = _read_config(ConfigFile(model / CONFIG, _CLASS))
            weights = weights_file(model)
            return build(cls, config, wanted, read_tensors(weights), str(weights))
        encoder, decoder = _one_pair(folder, name)
        parts = {"encoder": read_tensors(encoder), "decoder": read_tensors(decoder)}
        tensors: dict[str, np.ndarray] = {}
        for part, found in parts.items():
            tensors |= _as_diffusers(part, found)
        return build(cls, _sizes_of(tensors, decoder), wanted, tensors, f"{encoder} and {decoder.name}")

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes config.json and diffusion_pytorch_model.safetensors, which `from_pretrained` and diffusers read.

        Args:
            folder: Where the two files go; it is made.

        Raises:
            InputError: They cannot be written.
        """
        write_model(folder, _CLASS, _describe(self.config), tensors_of(self))


def _check_config(config: TinyAutoencoderConfig) -> None:
    blocks = (*config.num_encoder_blocks, *config.num_decoder_blocks)
    check_sizes("TinyAutoencoder", config.latent_channels, config.width, config.image_channels)
    check_blocks("TinyAutoencoder", *blocks)
    check_latent_scale("TinyAutoencoder", config.scaling_factor, config.shift_factor)
    levels = len(config.num_encoder_blocks), len(config.num_decoder_blocks)
    if levels[0] != levels[1] or not levels[0]:
        raise InputError(
            "TinyAutoencoder: expected encoder and decoder to have as many resolutions, found blocks "
            f"{config.num_encoder_blocks} and {config.num_decoder_blocks}; change its config."
        )


def _read_config(file: ConfigFile) -> TinyAutoencoderConfig:
    file.only("act_fn", "relu")
    file.only("upsample_fn", "nearest")
    file.only("upsampling_scaling_factor", 2)
    widths = {*file.wholes("encoder_block_out_channels"), *file.wholes("decoder_block_out_channels")}
    if len(widths) != 1:
        file.refuse(
            "encoder_block_out_channels, decoder_block_out_channels", "one width for all blocks", sorted(widths)
        )
    return TinyAutoencoderConfig(
        latent_channels=file.whole("latent_channels"),
        width=widths.pop(),
        num_encoder_blocks=file.wholes("num_encoder_blocks"),
        num_decoder_blocks=file.wholes("num_decoder_blocks"),
        image_channels=file.image_channels(),
        scaling_factor=file.number("scaling_factor", 1.0),
        shift_factor=file.number("shift_factor", 0.0),
    )


def _describe(config: TinyAutoencoderConfig) -> dict[str, Any]:
    return {
        "act_fn": "relu",
        "upsample_fn": "nearest",
        "upsampling_scaling_factor": 2,
        "in_channels": config.image_channels,
        "out_channels": config.image_channels,
        "latent_channels": config.latent_channels,
        "encoder_block_out_channels": [config.width] * len(config.num_encoder_blocks),
        "decoder_block_out_channels": [config.width] * len(config.num_decoder_blocks),
        "num_encoder_blocks": list(config.num_encoder_blocks),
        "num_decoder_blocks": list(config.num_decoder_blocks),
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor,
    }


def _has_original_files(folder: pathlib.Path, name: str) -> bool:
    return (folder / f"{name}{_ENCODER}").exists() or (folder / f"{name}{_DECODER}").exists()


def _one_pair(folder: pathlib.Path, name: str | None) -> tuple[pathlib.Path, pathlib.Path]:
    """The author's two files.

    Raises:
        InputError: None, several without a name, or one without the other.
    """
    ends = (_ENCODER, _DECODER)
    names = sorted({path.name.removesuffix(end) for end in ends for path in folder.glob(f"*{end}")})
    listed = ", ".join([*names, *model_names(folder)]) or "none"
    if name is None and len(names) > 1:
        raise InputError(f"{folder}: expected one model or its name, found {listed}; give one as name=.")
    if not names or (name is not None and name not in names):
        raise InputError(
            f"{folder}: expected {CONFIG} with {WEIGHTS}, or {name or 'NAME'}{_ENCODER} with {name or 'NAME'}{_DECODER}, "
            f"found models: {listed}; give another folder or name=."
        )
    pair = tuple(folder / f"{name or names[0]}{end}" for end in ends)
    for path in pair:
        if not path.exists():
            raise InputError(f"{path}: expected this file beside the other half of the model, found none; add it.")
    return pair[0], pair[1]


def _as_diffusers(part: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The author's names as diffusers' names, which count no layer that clamps latents."""
    named = {}
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        known = _LAYER.fullmatch(number) and rest
        named[f"{part}.layers.{int(number) - (part == 'decoder')}.{rest}" if known else f"{part}.{name}"] = tensor
    return named


def _sizes_of(tensors: dict[str, np.ndarray], path: pathlib.Path) -> TinyAutoencoderConfig:
    """The author's files have no config: width and latent channels are those of the decoder's first convolution."""
    first = tensors.get("decoder.layers.0.weight")
    if first is None or first.ndim != 4:
        found = "no tensor of that name" if first is None else f"shape {first.shape}"
        swapped = "decoder.layers.-1.weight" in tensors  # the encoder's first convolution is its layer 0
        remedy = "it has an encoder's tensors: exchange the two files" if swapped else "give a decoder of TAESD"
        raise InputError(f"{path}: expected 1.weight (width, channels, 3, 3), found {found}; {remedy}.")
    return TinyAutoencoderConfig(latent_channels=first.shape[1], width=first.shape[0])
