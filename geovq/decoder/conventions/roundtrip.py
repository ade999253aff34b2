"""Images through an encoder and a decoder once, with every shape checked."""

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.checks import describe
from geovq.decoder.conventions.adaptation import Conventions
from geovq.decoder.conventions.parts import take_part
from geovq.validation import InputError, check_finite


class MisfitError(InputError):
    """Functions or images that do not fit: what is wrong, and advice where nothing better is known."""

    def __init__(self, wrong: str, advice: str):
        """Both are parts of a sentence."""
        super().__init__(f"{wrong}; {advice}.")
        self.wrong = wrong


def reconstruct(
    encode: Partial, decode: Partial, images: Float[np.ndarray, "n H W C"]
) -> tuple[Float[np.ndarray, "n h w d"], Float[np.ndarray, "n H W C"]]:
    """Latents of the images, and what is decoded from them.

    Raises:
        MisfitError: A function that fails, or results of other shapes.
        InputError: Results that are not finite or no arrays of floats, or a function that says itself what is wrong.
    """
    n, height, width, channels = images.shape
    if channels > 4 and height in (3, 4) and width >= 8:
        raise MisfitError(
            f"images: expected shape (n, H, W, C), found {images.shape}, which has channels first",
            "pass images.transpose(0, 2, 3, 1)",
        )
    latents = call("encode", encode, images)
    if latents.ndim != 4 or len(latents) != n:
        raise MisfitError(
            f"encode: expected latents (n, h, w, d) of {n} images, found {latents.shape}",
            "give them the axes of a grid",
        )
    if latents.shape[1] > height or latents.shape[2] > width:
        raise MisfitError(
            f"encode: expected a grid of latents no larger than images {images.shape}, found {latents.shape}",
            "give latents and images channels last, and pass the encoder first",
        )
    check_finite("latents", latents)
    decoded = call("decode", decode, latents)
    if decoded.shape != images.shape:
        raise MisfitError(
            f"decode: expected images {images.shape}, found {decoded.shape}",
            "the decoder must give back the shape that the encoder takes",
        )
    check_finite("decoded images", decoded)
    return latents, decoded


def call(name: str, function: Partial, batch: np.ndarray) -> np.ndarray:
    """What a function gives for a batch, on the host.

    Raises:
        MisfitError: It fails.
        InputError: It gives something else than an array of floats, runs PyTorch, or says itself what is wrong.
    """
    try:
        found = function(batch)
    except InputError:
        raise
    except Exception as error:  # the caller's function may fail in any way
        if _passes_through_torch(error):
            raise InputError(
                f"{name}: expected a function of JAX, found one of PyTorch, which fails with {describe(error)}; use "
                "encode, decode = geovq.from_torch(module)."
            ) from error
        raise MisfitError(
            f"{name}: expected a function of a batch {batch.shape}, found that it fails with {describe(error)}",
            "call it on such a batch to see where",
        ) from error
    wanted = {"encode": "latents", "decode": "images"}[name]
    return np.asarray(take_part(found, None, name=name, wanted=wanted, call=Conventions().call))


def _passes_through_torch(error: Exception) -> bool:
    """Whether an error was raised in PyTorch, by the modules of its traceback."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "torch":
            return True
        frame = frame.tb_next
    return False
