"""What a tokenizer consists of: a trained VAE, a codebook and an assigner, which fit each other."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Num

from geovq.assignment.base import Assigner, Codebook, MeasuredAssigner, Training, check_assigner, check_measured
from geovq.batching.chunks import Progress
from geovq.batching.plan import Plan
from geovq.decoder.adapters import as_partial, single
from geovq.decoder.autoencoder import check_autoencoder, encode_images
from geovq.decoder.sizes import Sizes, check_size, find_stride
from geovq.tokenizer.checks import as_codebook
from geovq.tokenizer.defaults import default_assigner


class Vae(NamedTuple):
    """Two functions of batches, and the sizes that they take."""

    encode: Partial
    decode: Partial
    sizes: Sizes
    channels: int
    """Latent channels d."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(h, w, d) of the latents of an image of `sizes.image_shape`."""
        return (*self.sizes.grid, self.channels)

    @property
    def any_size(self) -> bool:
        """Whether images of every size are taken that the stride divides."""
        return self.sizes.stride is not None

    def check_size(self, image_shape: tuple[int, ...]) -> None:
        """Refuses a size that the stride divides and the VAE does not take."""
        if image_shape != self.sizes.image_shape:
            check_size(self.encode, self.decode, self.sizes, image_shape, self.channels)


class Parts(NamedTuple):
    """The parts of a tokenizer; the assigner has its statistics."""

    vae: Vae
    codebook: Codebook
    assigner: Assigner


def as_vae(encode: Callable, decode: Callable, images: Num[np.ndarray, "n H W C"], plan: Plan) -> Vae:
    """Two functions as a VAE of these images, checked by `check_autoencoder`."""
    encode, decode = as_partial(encode, "encode"), as_partial(decode, "decode")
    check_autoencoder(encode, decode, images)
    return vae_of_shapes(encode, decode, images.shape[1:], encode_images(encode, images[:1], plan=plan).shape[1:])


def vae_of_shapes(
    encode: Callable, decode: Callable, image_shape: tuple[int, ...], latent_shape: tuple[int, ...]
) -> Vae:
    """Two functions as a VAE of images (H, W, C) with latents (h, w, d): they are traced and not run."""
    encode, decode = as_partial(encode, "encode"), as_partial(decode, "decode")
    h, w, d = latent_shape
    return Vae(encode, decode, Sizes(image_shape, (h, w), find_stride(encode, decode, image_shape, latent_shape)), d)


def choose_assigner(vae: Vae, assigner: Assigner | None, num_quantizers: int) -> Assigner:
    """The assigner that is asked for, or the default one.

    Raises:
        InputError: As `check_assigner`.
    """
    assigner = default_assigner(vae.latent_shape) if assigner is None else assigner
    check_assigner(assigner, num_quantizers, any_size=vae.any_size)
    return assigner


def assemble(
    vae: Vae, codebook: Codebook, assigner: Assigner, training: Training, plan: Plan, progress: Progress | None
) -> Parts:
    """The parts of a tokenizer, whose assigner is measured if it lacks statistics of these codes.

    Raises:
        InputError: As `MeasuredAssigner.measure`.
    """
    codebook = as_codebook(codebook)
    if isinstance(assigner, MeasuredAssigner) and not assigner.is_measured(codebook):
        assigner = assigner.measure(single(vae.decode), codebook, training, plan=plan, progress=progress)
    check_measured(assigner, codebook)
    return Parts(vae, codebook, assigner)
