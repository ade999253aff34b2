"""A trained VAE as GeoVQ sees it: two functions of batches, of any library.

encode takes images (n, H, W, C) in [0, 1] to latents (n, h, w, d); decode takes latents back to images of the same shape and is
differentiable by JAX. Each row is by itself: no batch statistics.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geovq.batching.chunks import map_chunks
from geovq.decoder.adapters import single
from geovq.decoder.checks import check_decoder, check_rows_apart, describe
from geovq.validation import InputError, check_finite

BATCH = 256


def encode_images(encode: Callable, images: Float[np.ndarray, "n H W C"]) -> Float[np.ndarray, "n h w d"]:
    """Latents of any number of images, in batches of one size.

    Args:
        encode: The encoder.
        images: In [0, 1].

    Returns:
        Latents, on the host.

    Raises:
        InputError: Latents that are not a grid (n, h, w, d), or not finite.
    """
    latents = map_chunks(encode, images, chunk=BATCH)
    if latents.ndim != 4:
        raise InputError(f"encode: expected latents (n, h, w, d), found {latents.shape}; give them the axes of a grid.")
    check_finite("latents", latents)
    return latents


def decode_latents(decode: Callable, latents: Float[np.ndarray, "n h w d"]) -> Float[np.ndarray, "n H W C"]:
    """Images of any number of latents, in batches of one size, clipped to [0, 1].

    Raises:
        InputError: Images that are not finite.
    """
    images = map_chunks(decode, latents, chunk=BATCH)
    check_finite("decoded images", images)
    return np.clip(images, 0, 1)


def check_autoencoder(
    encode: Callable,
    decode: Callable,
    images: Float[np.ndarray, "n H W C"],
    latent_shape: tuple[int, ...] | None = None,
) -> None:
    """Runs both functions on a few images and checks that they fit.

    Args:
        encode: The encoder.
        decode: The decoder.
        images: In [0, 1].
        latent_shape: (h, w, d) that is wanted, or None for any.

    Raises:
        InputError: A function that fails, other shapes, values that are not finite, images far from [0, 1], a row whose result
            depends on the rest of the batch, or a decoder that JAX cannot trace or differentiate.
    """
    latents = _call("encode", encode, images)
    n, wanted = len(images), "(n, h, w, d)" if latent_shape is None else (len(images), *latent_shape)
    if latents.ndim != 4 or len(latents) != n or latent_shape not in (None, latents.shape[1:]):
        raise InputError(f"encode: expected latents {wanted} of {n} images, found {latents.shape}; is it another VAE?")
    check_finite("latents", latents)
    decoded = _call("decode", decode, latents)
    if decoded.shape != images.shape:
        raise InputError(
            f"decode: expected images {images.shape}, found {decoded.shape}; the decoder must give back the shape "
            "that the encoder takes."
        )
    check_finite("decoded images", decoded)
    if decoded.min() < -1 or decoded.max() > 2:
        raise InputError(
            f"decode: expected intensities in [0, 1], found values in [{decoded.min():g}, {decoded.max():g}]; "
            "rescale in the decoder, for metrics and errors are in its units."
        )
    check_rows_apart("encode", encode, images)
    check_decoder(single(decode), latents)


def _call(name: str, function: Callable, batch: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(function(batch))
    except Exception as error:  # the caller's function may fail in any way
        raise InputError(
            f"{name}: expected a function of a batch {batch.shape}, found that it fails with {describe(error)}; "
            "are encode and decode in this order, and of this VAE?"
        ) from error
