"""A trained VAE as GeoVQ sees it: two functions of batches, of any library.

encode takes images (n, H, W, C) in [0, 1] to latents (n, h, w, d); decode takes latents back to images of the same shape and is
differentiable by JAX. Each row is by itself: no batch statistics.
"""

import math
from collections.abc import Callable

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Num

from geovq.batching.budget import as_text
from geovq.batching.chunks import Progress, map_chunks
from geovq.batching.memory import RowMemory, function_memory
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.decoder.adapters import as_partial, single
from geovq.decoder.checks import check_decoder, check_rows_apart
from geovq.decoder.conventions.diagnosis import check_grid_axes, reconstruct_or_explain
from geovq.decoder.conventions.reconstructions import check_reconstructions
from geovq.decoder.conventions.roundtrip import call
from geovq.validation import InputError, as_intensities, check_finite, check_squares

BATCH = 256
"""Images of a batch at most; large ones are fewer, as a plan's memory says."""

_CPU_BYTES = 1 << 27
"""Bytes of a batch at most on a CPU: TAESD encodes images of 256x256 in batches of two with a quarter less CPU time than in
batches of 16."""

_UNTRACED = 1024
"""Bytes that a pixel is taken to need in a function that JAX cannot trace: those of 256 channels in float32."""

_IMAGES, _PIXELS = 8, 1 << 17
"""Images at most that are looked at, and their pixels: eight of 128x128, two of 256x256 and more."""


def encode_images(
    encode: Callable,
    images: Num[np.ndarray, "n H W C"],
    *,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n h w d"]:
    """Latents of any number of images, in batches of one size, of 256 images or as many as memory holds.

    Args:
        encode: The encoder.
        images: In [0, 1], or bytes, of which a batch at a time is converted.
        plan: Its memory bounds a batch.
        progress: Called after every batch with the images done.

    Returns:
        Latents float32, on the host.

    Raises:
        InputError: Latents that are not a grid (n, h, w, d), or not finite; images of which not even one fits in memory.
    """
    encode = as_partial(encode, "encode")
    latents = map_chunks(
        lambda rows: encode(as_intensities(rows)),
        images,
        chunk=_batch(encode, images, plan),
        mesh=plan.mesh,
        progress=progress,
    )
    if latents.ndim != 4:
        raise InputError(f"encode: expected latents (n, h, w, d), found {latents.shape}; give them the axes of a grid.")
    check_squares("latents", latents)
    return latents


def decode_latents(
    decode: Callable, latents: Float[np.ndarray, "n h w d"], *, plan: Plan = DEFAULT_PLAN
) -> Float[np.ndarray, "n H W C"]:
    """Images float32 of any number of latents, in batches as `encode_images`, clipped to [0, 1].

    Raises:
        InputError: Images that are not finite, or of which not even one fits in memory.
    """
    decode = as_partial(decode, "decode")
    images = map_chunks(decode, latents, chunk=_batch(decode, latents, plan), mesh=plan.mesh)
    check_finite("decoded images", images)
    return np.clip(images, 0, 1)


def _batch(function: Partial, rows: Num[np.ndarray, "n ..."], plan: Plan) -> int:
    """Rows of a batch of either function: as many as memory holds."""
    memory = settle(plan).memory
    dtype = np.dtype(np.float32) if rows.dtype == np.uint8 else rows.dtype  # bytes are converted for the function
    row = function_memory(function, (1, *rows.shape[1:]), dtype)
    if row is None:
        row = RowMemory(0, _UNTRACED * math.prod(rows.shape[1:3]))
    needed = row.held + row.each
    if needed > memory:
        raise InputError(
            f"plan: expected at least {as_text(needed)} for a batch of one row {rows.shape[1:]}, found {as_text(memory)}; "
            f"{row.remedy}, or pass plan=geovq.Plan(memory={needed})."
        )
    most = min(memory - row.held, _CPU_BYTES) if jax.default_backend() == "cpu" else memory - row.held
    return max(1, min(BATCH, most // max(1, row.each)))


def check_autoencoder(encode: Callable, decode: Callable, images: Num[np.ndarray, "n H W C"]) -> None:
    """Reconstructs a few of the images: both functions have to fit them, each other, and GeoVQ's conventions.

    Args:
        encode: The encoder.
        decode: The decoder.
        images: The user's, in [0, 1] or bytes; eight of them are used, fewer where they are large.

    Raises:
        InputError: A function that fails, other shapes, values that are not finite, another convention, intensities far from
            [0, 1], a result that is drawn at random or depends on the rest of the batch, or a decoder that JAX cannot trace or
            differentiate. Where `geovq.adapt` mends it, the message has the call.

    Warns:
        ConventionWarning: Reconstructions that have nothing to do with the images.
    """
    encode, decode = as_partial(encode, "encode"), as_partial(decode, "decode")
    images = as_intensities(_some(images))
    latents, decoded = reconstruct_or_explain(encode, decode, images)
    check_rows_apart("encode", encode, images, latents)
    check_decoder(single(decode), latents)
    check_grid_axes(decode, images, latents, decoded)
    check_reconstructions(encode, decode, images, latents, decoded)


def check_codes(
    encode: Callable, decode: Callable, latents: Float[np.ndarray, "n h w d"], image_shape: tuple[int, ...]
) -> None:
    """Checks without images that both functions fit: latents made of codes are decoded, and those images encoded.

    Args:
        encode: The encoder.
        decode: The decoder.
        latents: Some grids of codes.
        image_shape: (H, W, C) that is wanted.

    Raises:
        InputError: As `check_autoencoder`, but for what only images show.
    """
    encode, decode = as_partial(encode, "encode"), as_partial(decode, "decode")
    decoded, wanted = call("decode", decode, latents), (len(latents), *image_shape)
    if decoded.shape != wanted:
        raise InputError(f"decode: expected images {wanted}, found {decoded.shape}; pass the VAE of these codes.")
    check_finite("decoded images", decoded)
    images = np.clip(decoded, 0, 1)
    found = call("encode", encode, images)
    if found.shape != latents.shape:
        raise InputError(f"encode: expected latents {latents.shape}, found {found.shape}; pass the VAE of these codes.")
    check_finite("latents", found)
    check_rows_apart("encode", encode, images)
    check_decoder(single(decode), latents)


def _some(images: Num[np.ndarray, "n H W C"]) -> Num[np.ndarray, "m H W C"]:
    """A few images from the whole set, as sets are often sorted."""
    count = min(len(images), max(2, min(_IMAGES, _PIXELS // images[0, ..., 0].size)))
    return images[np.linspace(0, len(images) - 1, count).astype(int)]
