"""Tokenizers of every system, kept in the run folder, and how each chooses tokens."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from benchmarks.common.published import Fitted, Published
from benchmarks.photographs.rivals import BEAM, Latents, Tokens, fit_rival, own_choice
from benchmarks.photographs.systems import RIVALS, Assign, Rate, RivalName, System
from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.decoder.autoencoder import encode_images
from geovq.tokenizer.tokenizer import Tokenizer

PERCEPTUAL = 0.01
"""Weight of LPIPS in "joint-lpips"; `benchmarks.photographs.choices` shows what others do on `val`."""

_MEASURED_CROPS = 32
"""Training crops of which `Amortised`, and metrics at the codes of rivals, are measured."""


CONSTANTS = [PERCEPTUAL, _MEASURED_CROPS, BEAM]
"""What tokens depend on beside codes and the assigner's options."""


class Coder(NamedTuple):
    """Images to tokens and back."""

    tokenizer: Tokenizer
    choice: Callable[[Latents], Tokens] | None = None
    """Of latents, where a rival chooses tokens in its own way."""

    def encode(self, images: np.ndarray) -> Int[np.ndarray, "n h w S"]:
        """Tokens, always with an axis for several codes."""
        return self.assign(encode_images(self.tokenizer.encoder, images), images)

    def assign(
        self, latents: Float[np.ndarray, "n h w d"], images: np.ndarray | None = None
    ) -> Int[np.ndarray, "n h w S"]:
        """The same of latents, and of their images where the assigner looks at them."""
        if self.choice is not None:
            return self.choice(latents.reshape(-1, latents.shape[-1])).reshape(*latents.shape[:3], -1)
        tokens = self.tokenizer.assign_latents(latents, images=images)
        return tokens if tokens.ndim == 4 else tokens[..., None]

    def decode(self, tokens: Int[np.ndarray, "n h w S"]) -> Float[np.ndarray, "n H W 3"]:
        """Images."""
        return self.tokenizer.decode(tokens if self.tokenizer.num_quantizers > 1 else tokens[..., 0])


def coder(published: Published, autoencoder: str, rate: Rate, system: System, seed: int) -> Coder:
    """What codes images as the system does."""
    if system.codes in RIVALS:
        found = _rivals_coder(published, autoencoder, rate, system.codes, seed)
    else:
        fitted = Fitted(autoencoder, rate.num_codes, rate.num_quantizers, seed, system.codebook, system.composition)
        found = Coder(published.tokenizer(fitted))
    return _with_assigner(published, found, system.assign, seed)


def _rivals_coder(published: Published, autoencoder: str, rate: Rate, name: RivalName, seed: int) -> Coder:
    """A rival's codes as a tokenizer with the metric of quantization steps to them."""
    vae = published.vae(autoencoder)
    path = published.run / "codebooks" / f"{autoencoder}-{rate.name}-{name}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        codes = fit_rival(name, _training_latents(published, autoencoder, seed), rate, seed)
        crops = published.training_crops(seed)[:_MEASURED_CROPS]
        Tokenizer.from_codes(*vae, codes, crops, assigner=Whitened(), seed=seed).save(path)
    made = Tokenizer.load(path, *vae)
    return Coder(made, own_choice(name, made.codebook.codes))


@functools.cache
def _training_latents(published: Published, autoencoder: str, seed: int) -> Float[np.ndarray, "n d"]:
    """Of the training crops."""
    latents = encode_images(published.vae(autoencoder)[0], published.training_crops(seed))
    return latents.reshape(-1, latents.shape[-1])


ASSIGNERS: dict[Assign, Assigner] = {
    "whitened": Whitened(),
    "joint": Joint(),
    "joint-lpips": Joint(perceptual=PERCEPTUAL),
    "greedy": Greedy(),
}


def _with_assigner(published: Published, found: Coder, assign: Assign, seed: int) -> Coder:
    """The same codes, chosen in another way."""
    if assign == "own":
        return found._replace(tokenizer=found.tokenizer.replace(assigner=Nearest()))
    if assign == "amortised":
        crops = published.training_crops(seed)[:_MEASURED_CROPS]
        tokenizer = found.tokenizer.replace(assigner=Amortised(), images=crops, seed=seed)
    else:
        tokenizer = found.tokenizer.replace(assigner=ASSIGNERS[assign])
    return Coder(tokenizer)
