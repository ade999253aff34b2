"""AutoencoderKL: the autoencoders of latent diffusion models, Stable Diffusion 1.x and 2.x, SDXL, SD3 and FLUX.

Residual blocks with group normalization, and self-attention at the coarsest resolution: every pixel depends on every latent of
its image, if weakly, and on no other image. The modules are called as in diffusers, so that tensors have the same names.
"""

import itertools
import os
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geovq.decoder.adapters import AnyArray
from geovq.models.config import AutoencoderKLConfig
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

_CLASS = "AutoencoderKL"
"""The model's name in diffusers."""

_EPSILON = 1e-6
"""Added to the variance of a group."""

_RENAMED = {"encoder.quant_conv": "quant_conv", "decoder.post_quant_conv": "post_quant_conv"}

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names in older files, and the present ones."""


def _normalization(config: AutoencoderKLConfig, channels: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(
        channels,
        config.norm_num_groups,
        epsilon=_EPSILON,
        dtype=dtype,
        param_dtype=dtype,
        use_fast_variance=False,
        rngs=rngs,
    )


class Resnet(nnx.Module):
    """x + two normalized 3x3 convolutions of it; a 1x1 convolution of x where the channels differ."""

    def __init__(self, config: AutoencoderKLConfig, channels: int, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        """From `channels` to `width` channels."""
        self.norm1 = _normalization(config, channels, dtype, rngs)
        self.conv1 = convolution(channels, width, dtype=dtype, rngs=rngs)
        self.norm2 = _normalization(config, width, dtype, rngs)
        self.conv2 = convolution(width, width, dtype=dtype, rngs=rngs)
        self.conv_shortcut = None if channels == width else convolution(channels, width, taps=1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c2"]:
        """(n, h, w, channels) -> (n, h, w, width)."""
        moved = self.conv1(nnx.silu(self.norm1(x)))
        moved = self.conv2(nnx.silu(self.norm2(moved)))
        return moved + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nnx.Module):
    """x + self-attention of its pixels, with one head."""

    def __init__(self, config: AutoencoderKLConfig, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        """Matrices of `width` channels."""
        self.group_norm = _normalization(config, width, dtype, rngs)
        q, k, v, out = (nnx.Linear(width, width, dtype=dtype, param_dtype=dtype, rngs=rngs) for _ in range(4))
        self.to_q, self.to_k, self.to_v = q, k, v
        self.to_out = nnx.List([out])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Same shape."""
        n, h, w, c = x.shape
        pixels = self.group_norm(x).reshape(n, h * w, c)
        q, k, v = self.to_q(pixels), self.to_k(pixels), self.to_v(pixels)
        scores = jnp.einsum("nqc,nkc->nqk", q, k, preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))
        weights = jax.nn.softmax(scores / c**0.5, axis=-1).astype(x.dtype)
        return x + self.to_out[0](jnp.einsum("nqk,nkc->nqc", weights, v)).reshape(n, h, w, c)


class Mid(nnx.Module):
    """The coarsest resolution: two residual blocks, and self-attention between them."""

    def __init__(self, config: AutoencoderKLConfig, *, dtype: DTypeLike, rngs: nnx.Rngs):
        """Blocks of the last width."""
        width = config.block_out_channels[-1]
        self.resnets = nnx.List([Resnet(config, width, width, dtype=dtype, rngs=rngs) for _ in range(2)])
        attended = range(int(config.mid_block_add_attention))
        self.attentions = nnx.List([Attention(config, width, dtype=dtype, rngs=rngs) for _ in attended])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Same shape."""
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Resampler(nnx.Module):
    """A 3x3 convolution to half the size, or to twice the size after nearest upsampling."""

    def __init__(self, width: int, *, up: bool, dtype: DTypeLike, rngs: nnx.Rngs):
        """A convolution of `width` channels; down, zeros are added below and on the right alone."""
        self.up = up
        how: dict[str, Any] = {} if up else {"stride": 2, "padding": (0, 1)}
        self.conv = convolution(width, width, dtype=dtype, rngs=rngs, **how)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """(n, h, w, c) -> (n, 2h, 2w, c) or (n, h/2, w/2, c)."""
        return self.conv(enlarge_twice(x) if self.up else x)


class Level(nnx.Module):
    """One resolution: residual blocks, then a change to the next resolution unless it is the last."""

    def __init__(
        self,
        config: AutoencoderKLConfig,
        channels: int,
        width: int,
        blocks: int,
        *,
        up: bool,
        last: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Blocks from `channels` to `width` channels."""
        widths = [channels] + [width] * blocks
        self.resnets = nnx.List([Resnet(config, a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(widths)])
        resamplers = nnx.List([] if last else [Resampler(width, up=up, dtype=dtype, rngs=rngs)])
        if up:
            self.upsamplers = resamplers
        else:
            self.downsamplers = resamplers
        self.up = up

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """The next resolution, or the same at the last."""
        for layer in (*self.resnets, *(self.upsamplers if self.up else self.downsamplers)):
            x = layer(x)
        return x


class Encoder(nnx.Module):
    """Images -> latents."""

    def __init__(self, config: AutoencoderKLConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        """Initial weights."""
        self.config = config
        self.dtype = np.dtype(dtype)
        widths = config.block_out_channels
        twice = 2 * config.latent_channels  # a mean and a log variance
        self.conv_in = convolution(config.image_channels, widths[0], dtype=dtype, rngs=rngs)
        self.down_blocks = _levels(config, widths, config.layers_per_block, up=False, dtype=dtype, rngs=rngs)
        self.mid_block = Mid(config, dtype=dtype, rngs=rngs)
        self.conv_norm_out = _normalization(config, widths[-1], dtype, rngs)
        self.conv_out = convolution(widths[-1], twice, dtype=dtype, rngs=rngs)
        self.quant_conv = convolution(twice, twice, taps=1, dtype=dtype, rngs=rngs) if config.use_quant_conv else None

    def __call__(self, images: Float[AnyArray, "n H W C"]) -> Float[Array, "n h w d"]:
        """Latents of images in [0, 1]."""
        check_image_batch(images, self.config.image_channels, self.config.stride)
        x = self.conv_in(2 * jnp.asarray(images, self.dtype) - 1)
        for block in self.down_blocks:
            x = block(x)
        x = self.conv_out(nnx.silu(self.conv_norm_out(self.mid_block(x))))
        if self.quant_conv is not None:
            x = self.quant_conv(x)
        mean = x[..., : self.config.latent_channels]
        return (mean - self.config.shift_factor) * self.config.scaling_factor


class Decoder(nnx.Module):
    """Latents -> images, about in [0, 1]."""

    def __init__(self, config: AutoencoderKLConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        """Initial weights."""
        self.config = config
        self.dtype = np.dtype(dtype)
        widths, channels = config.block_out_channels[::-1], config.latent_channels
        quantized = config.use_post_quant_conv
        self.post_quant_conv = convolution(channels, channels, taps=1, dtype=dtype, rngs=rngs) if quantized else None
        self.conv_in = convolution(channels, widths[0], dtype=dtype, rngs=rngs)
        self.mid_block = Mid(config, dtype=dtype, rngs=rngs)
        self.up_blocks = _levels(config, widths, config.layers_per_block + 1, up=True, dtype=dtype, rngs=rngs)
        self.conv_norm_out = _normalization(config, widths[-1], dtype, rngs)
        self.conv_out = convolution(widths[-1], config.image_channels, dtype=dtype, rngs=rngs)

    def __call__(self, latents: Float[AnyArray, "n h w d"]) -> Float[Array, "n H W C"]:
        """Images of latents, not clipped."""
        check_latent_batch(latents, self.config.latent_channels)
        x = jnp.asarray(latents, self.dtype) / self.config.scaling_factor + self.config.shift_factor
        if self.post_quant_conv is not None:
            x = self.post_quant_conv(x)
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return (self.conv_out(nnx.silu(self.conv_norm_out(x))) + 1) / 2


def _levels(
    config: AutoencoderKLConfig, widths: tuple[int, ...], blocks: int, *, up: bool, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.List:
    channels = (widths[0], *widths[:-1])
    return nnx.List(
        [
            Level(config, before, width, blocks, up=up, last=level == len(widths) - 1, dtype=dtype, rngs=rngs)
            for level, (before, width) in enumerate(zip(channels, widths, strict=True))
        ]
    )


class AutoencoderKL(nnx.Module):
    """The autoencoder of a latent diffusion model: images (n, H, W, 3) in [0, 1] <-> latents (n, H/8, W/8, d).

    Latents are posterior means as the diffusion model takes them: (mean - shift_factor) * scaling_factor. `from_pretrained` reads
    published weights. `encoder` and `decoder` are modules too: `geovq.from_nnx(model.decoder)`.

    Source: Rombach, Blattmann, Lorenz, Esser and Ommer, "High-resolution image synthesis with latent diffusion models",
    CVPR 2022.
    """

    def __init__(self, config: AutoencoderKLConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
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
        """Reads published weights: diffusers' config.json with diffusion_pytorch_model.safetensors beside it.

        Only safetensors are read; nothing is unpickled.

        Args:
            folder_or_repository: The folder, or the one above its subfolder `vae`; or, if huggingface_hub is installed, a
                repository OWNER/NAME, which is downloaded.
            name: Another subfolder than `vae`.
            dtype: Of parameters, arithmetic and results, whatever the file has.

        Returns:
            The model.

        Raises:
            InputError: Missing or damaged files, an unsupported config, or tensors of another model, which are named.
        """
        wanted = check_dtype(dtype)
        folder = find_folder(folder_or_repository, name)
        model = find_model(folder, name)
        if model is None:
            raise InputError(
                f"{folder}: expected {CONFIG} with {WEIGHTS}, in the folder or in its subfolder {name or 'vae'}, found models: "
                f"{', '.join(model_names(folder)) or 'none'}; give another folder or name=."
            )
        config = _read_config(ConfigFile(model / CONFIG, _CLASS))
        weights = weights_file(model)
        return build(cls, config, wanted, _modernise(read_tensors(weights)), str(weights), _RENAMED)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes config.json and diffusion_pytorch_model.safetensors, which `from_pretrained` and diffusers read.

        Args:
            folder: Where the two files go; it is made.

        Raises:
            InputError: They cannot be written.
        """
        write_model(folder, _CLASS, _describe(self.config), tensors_of(self, _RENAMED))


def _check_config(config: AutoencoderKLConfig) -> None:
    check_blocks("AutoencoderKL", config.layers_per_block)
    sizes = (config.latent_channels, config.layers_per_block, config.norm_num_groups, config.image_channels)
    check_sizes("AutoencoderKL", *sizes, len(config.block_out_channels), *config.block_out_channels)
    check_latent_scale("AutoencoderKL", config.scaling_factor, config.shift_factor)
    if any(width % config.norm_num_groups for width in config.block_out_channels):
        raise InputError(
            f"AutoencoderKL: expected block_out_channels that norm_num_groups {config.norm_num_groups} divides, found "
            f"{config.block_out_channels}; change its config."
        )


def _read_config(file: ConfigFile) -> AutoencoderKLConfig:
    file.only("act_fn", "silu")
    file.only("double_z", True)
    for key in ("latents_mean", "latents_std"):
        file.only(key, None)
    widths = file.wholes("block_out_channels")
    file.only("down_block_types", ["DownEncoderBlock2D"] * len(widths))
    file.only("up_block_types", ["UpDecoderBlock2D"] * len(widths))
    return AutoencoderKLConfig(
        block_out_channels=widths,
        layers_per_block=file.whole("layers_per_block"),
        latent_channels=file.whole("latent_channels"),
        norm_num_groups=file.whole("norm_num_groups", 32),
        image_channels=file.image_channels(),
        scaling_factor=file.number("scaling_factor", 0.18215),
        shift_factor=file.number("shift_factor", 0.0),
        use_quant_conv=file.flag("use_quant_conv", True),
        use_post_quant_conv=file.flag("use_post_quant_conv", True),
        mid_block_add_attention=file.flag("mid_block_add_attention", True),
    )


def _describe(config: AutoencoderKLConfig) -> dict[str, Any]:
    levels = len(config.block_out_channels)
    return {
        "act_fn": "silu",
        "in_channels": config.image_channels,
        "out_channels": config.image_channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": list(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "latent_channels": config.latent_channels,
        "norm_num_groups": config.norm_num_groups,
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor,
        "use_quant_conv": config.use_quant_conv,
        "use_post_quant_conv": config.use_post_quant_conv,
        "mid_block_add_attention": config.mid_block_add_attention,
    }


def _modernise(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of attention under their present names, and as matrices where a file has them as 1x1 convolutions."""
    named = {}
    for name, tensor in tensors.items():
        if ".attentions." in name:
            *before, layer, leaf = name.split(".")
            name = ".".join([*before, _OLD_ATTENTION.get(layer, layer), leaf])
            tensor = tensor[:, :, 0, 0] if tensor.shape[2:] == (1, 1) else tensor
        named[name] = tensor
    return named
