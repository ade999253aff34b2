"""Better tokens for a model that already has some: a VQ-VAE, a VQGAN, a residual or grouped VQ, or FSQ, as it is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.base import Assigner
from geovq.assignment.nearest import Nearest
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.autoencoder import encode_images
from geovq.scores.reconstruction import psnr
from geovq.tokenizer.defaults import Probes
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images, shown


class BetterTokens(NamedTuple):
    """Tokens of n images that decode better than the model's own, and by how much."""

    tokens: Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]
    own_tokens: Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]
    """The model's own."""
    psnr: Float[np.ndarray, " n"]
    """Of the images that the tokens decode to, dB; no image is below its `own_psnr`."""
    own_psnr: Float[np.ndarray, " n"]
    """Of the images that the model's own tokens decode to."""
    tokenizer: Tokenizer
    """Finds such tokens for other images: `tokenizer.encode(images)`."""

    @property
    def gain(self) -> float:
        """Mean over the images of what was won, dB."""
        return float(np.mean(self.psnr - self.own_psnr))


def better_tokens(
    encode: Callable,
    decode: Callable,
    codes: Float[np.ndarray, "..."],
    images: np.ndarray,
    *,
    own_tokens: Int[np.ndarray, "..."] | None = None,
    assigner: Assigner | None = None,
    max_images: int = 200,
    probes: Probes = "auto",
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> BetterTokens:
    """Tokens of the same codes that decode to better images, for the same decoder: no image gets worse.

    Mean metrics are measured on some of the images themselves. For many images, or for tokens that do not depend on which other
    images there are, keep the tokenizer of the result and call its `encode`.

    Args:
        encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d), before they are quantized; of FSQ, bounded but not rounded.
        decode: Quantized latents (n, h, w, d) to images; differentiable, each image by itself.
        codes: As for `Tokenizer.from_codes`.
        images: (n, H, W, C), uint8 or floats in [0, 1].
        own_tokens: The model's tokens of these images, (n, h, w) or (n, h, w, S), from which the search starts. None for the
            nearest codes, quantizer after quantizer.
        assigner: `Joint`, `Amortised` or `Greedy`; None chooses as `Tokenizer.from_codes` does.
        max_images: Images at most, drawn at random, by which mean metrics are measured.
        probes: Of the mean metrics, as for `Tokenizer.from_codes`.
        seed: Of the draw and the probes.
        plan: How much at once and on which devices.
        progress: Called with the images whose tokens are found.

    Returns:
        The tokens, the model's own, and the PSNR of both.

    Raises:
        InputError: Images, callables, codes or tokens that do not fit, or an assigner that does not look at the images.
    """
    images = check_images(images)
    if assigner is not None and not (isinstance(assigner, Assigner) and assigner.needs_images):
        raise InputError(
            f"assigner: expected one that looks at the images, geovq.Joint(), Amortised() or Greedy(), found {shown(assigner)}; "
            "choose one, or None."
        )
    tokenizer = Tokenizer.from_codes(
        encode, decode, codes, images, assigner=assigner, max_images=max_images, probes=probes, seed=seed, plan=plan
    )
    latents = encode_images(encode, images, plan=plan)
    if own_tokens is None:
        own_tokens = tokenizer.replace(assigner=Nearest(sweeps=0)).assign_latents(latents, plan=plan)
    elif len(own_tokens) != len(images):
        raise InputError(f"own_tokens: expected {len(images)} grids, one for each image, found {len(own_tokens)}.")
    own_psnr = psnr(images, tokenizer.decode(own_tokens, plan=plan))
    tokens = tokenizer.assign_latents(latents, images=images, start=own_tokens, plan=plan, progress=progress)
    found_psnr = psnr(images, tokenizer.decode(tokens, plan=plan))
    better = found_psnr > own_psnr  # intensities beyond [0, 1], which PSNR clips, count for the assigner
    own_tokens = np.asarray(own_tokens, np.int32)
    tokens = np.where(better.reshape(-1, *[1] * (tokens.ndim - 1)), tokens, own_tokens)
    return BetterTokens(tokens, own_tokens, np.where(better, found_psnr, own_psnr), own_psnr, tokenizer)
