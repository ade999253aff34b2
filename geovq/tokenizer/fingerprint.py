"""One trained VAE told from another of the same sizes, by what it makes of some latents."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geovq.batching.plan import Plan
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.validation import InputError, is_floating

_TOLERANCE = 0.02
"""Share of the largest value: well above what rounding does on another device, well below what another training does."""


def fingerprint_vae(
    encode: Callable, decode: Callable, latents: Float[np.ndarray, "n h w d"], plan: Plan
) -> dict[str, np.ndarray]:
    """What the decoder makes of some latents, and the encoder of these images."""
    image = decode_latents(decode, latents, plan=plan)
    return {"image": image, "latents": encode_images(encode, image, plan=plan)}


def check_fingerprint(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], name: str, remedy: str) -> None:
    """Refuses another VAE than the one whose fingerprint was taken before.

    Args:
        found: The fingerprint now.
        wanted: The fingerprint then.
        name: What the message begins with.
        remedy: What it ends with.

    Raises:
        InputError: Naming the decoder or the encoder, and how far it is off.
    """
    for part, of in (("decoder", "image"), ("encoder", "latents")):
        then = wanted.get(of, np.zeros(0))
        if found[of].shape != then.shape or not is_floating(then.dtype):
            raise InputError(
                f"{name}: expected an output of the {part} for the first code, {found[of].shape}, found {then.dtype} "
                f"{then.shape}; {remedy}."
            )
        difference = float(np.abs(found[of] - wanted[of]).max() / max(1.0, np.abs(wanted[of]).max()))
        if not difference <= _TOLERANCE:  # NaN is another VAE's, too
            raise InputError(
                f"{name}: expected the {part} that it was made with, found one whose output for the first code differs by "
                f"{difference:.2g}; {remedy}."
            )
