"""What the autoencoders for photographs share: convolutions as PyTorch pads them, nearest upsampling, and checks of batches."""

import math
from collections.abc import Iterable

import jax.dtypes
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geovq.decoder.adapters import AnyArray
from geovq.validation import InputError, check_whole

_LARGEST_SIZE = 1 << 14
"""Channels at most."""

_MOST_BLOCKS = 64
"""Blocks of a resolution at most."""


def convolution(
    channels: int,
    width: int,
    *,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
    taps: int = 3,
    stride: int = 1,
    padding: tuple[int, int] | None = None,
    bias: bool = True,
) -> nnx.Conv:
    """A square convolution, padded with zeros.

    Args:
        channels: Channels that it takes.
        width: Channels that it gives.
        dtype: Of parameters and arithmetic.
        rngs: Source of the initial weights.
        taps: Height and width of the kernel.
        stride: In both directions.
        padding: Zeros before and after, along both sides; None for the same number on both sides, taps // 2.
        bias: Whether it has one.
    """
    sides = (taps // 2, taps // 2) if padding is None else padding
    return nnx.Conv(
        channels,
        width,
        (taps, taps),
        strides=stride,
        padding=(sides, sides),
        use_bias=bias,
        dtype=dtype,
        param_dtype=dtype,
        rngs=rngs,
    )


def enlarge_twice(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Every pixel becomes a 2x2 block of equal pixels."""
    n, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)


def check_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype of a network's parameters and arithmetic.

    Raises:
        InputError: One that is not of floats, or float64 where JAX has no double precision.
    """
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise InputError(f"dtype: expected a dtype such as jnp.float32, found {dtype!r}; give one.") from error
    if not jnp.issubdtype(found, jnp.floating):
        raise InputError(f"dtype: expected float32, bfloat16, float16 or float64, found {found}; give one of them.")
    if found != jax.dtypes.canonicalize_dtype(found):
        raise InputError(
            "dtype: expected double precision to be on, found it off; set jax_enable_x64, or take float32."
        )
    return found


def check_sizes(name: str, *sizes: int) -> None:
    """Checks the sizes of a network.

    Raises:
        InputError: One that is not a whole number of at least 1, or beyond any network.
    """
    for size in sizes:
        check_whole(f"{name}, a size", size, most=_LARGEST_SIZE, remedy="change its config")


def check_blocks(name: str, *blocks: int) -> None:
    """Checks how many blocks a network has at each resolution.

    Raises:
        InputError: A number that is not whole, or beyond any network.
    """
    for count in blocks:
        check_whole(f"{name}, blocks of a resolution", count, 0, _MOST_BLOCKS, "change its config")


def check_latent_scale(name: str, scaling: float, shift: float) -> None:
    """Checks what latents are shifted and scaled by.

    Raises:
        InputError: Numbers that are not finite, or a scale of zero.
    """
    if not math.isfinite(scaling) or scaling == 0 or not math.isfinite(shift):
        raise InputError(
            f"{name}: expected a finite scaling_factor that is not 0, and a finite shift_factor, found {scaling:g} and "
            f"{shift:g}; change its config."
        )


def check_image_batch(images: AnyArray, channels: int, stride: int) -> None:
    """Checks what can be told of images without their values, so that compiled code is checked too.

    Args:
        images: The batch.
        channels: Channels that the encoder takes.
        stride: What height and width have to be multiples of.

    Raises:
        InputError: Another shape, integers, or a height or width that the stride does not divide.
    """
    _check_batch("images", images, ("H", "W", channels), "divide bytes by 255")
    height, width = jnp.shape(images)[1:3]
    if height % stride or width % stride or not height or not width:
        down, right = (max(size // stride, 1) * stride for size in (height, width))
        raise InputError(
            f"images: expected a height and a width that the stride {stride} divides, found {height}x{width}; "
            f"crop, pad or resize them, for example to {down}x{right}."
        )


def check_latent_batch(latents: AnyArray, channels: int) -> None:
    """Checks the shape and the dtype of latents.

    Raises:
        InputError: Another shape, or integers.
    """
    _check_batch("latents", latents, ("h", "w", channels), "pass what encode returns, and not tokens")


def _check_batch(name: str, batch: AnyArray, sizes: Iterable[str | int], remedy: str) -> None:
    *_, channels = sizes = tuple(sizes)
    shape = jnp.shape(batch)
    if len(shape) != 4 or shape[3] != channels:
        wanted = ", ".join(map(str, sizes))
        raise InputError(
            f"{name}: expected shape (n, {wanted}), found {shape}; put the axis of channels last, "
            "repeat a grey channel or drop alpha, and check that encode comes before decode."
        )
    if not jnp.issubdtype(jnp.result_type(batch), jnp.floating):
        raise InputError(f"{name}: expected floats, found {jnp.result_type(batch)}; {remedy}.")
