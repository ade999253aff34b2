"""Why an encoder and a decoder do not fit: other conventions are tried on the same images, and the one that works is named."""

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.conventions.parts import PartError
from geovq.decoder.conventions.repairs import LATENTS_FIRST, Repair, repairs_of_shapes
from geovq.decoder.conventions.roundtrip import MisfitError, call, reconstruct
from geovq.validation import InputError

_TRIED = 2
"""Images with which other layouts are tried."""


def reconstruct_or_explain(
    encode: Partial, decode: Partial, images: Float[np.ndarray, "n H W C"]
) -> tuple[Float[np.ndarray, "n h w d"], Float[np.ndarray, "n H W C"]]:
    """`reconstruct`; where that fails and another convention works, the message has it.

    Raises:
        InputError: As `reconstruct`.
    """
    try:
        return reconstruct(encode, decode, images)
    except MisfitError as misfit:
        remedy = _find_remedy(encode, decode, images[:_TRIED])
        if remedy is None:
            raise
        raise InputError(f"{misfit.wrong}; {remedy}.") from misfit


def _find_remedy(encode: Partial, decode: Partial, images: np.ndarray) -> str | None:
    """What mends functions or images that do not fit, if anything known does."""
    if images.shape[1] in (1, 3, 4):
        last = images.transpose(0, 2, 3, 1)
        if _works(encode, decode, last):
            return "pass images.transpose(0, 2, 3, 1)"
        first = Repair("", layout="NCHW")
        if _works(*first.apply(encode, decode), last):
            return f"pass images.transpose(0, 2, 3, 1), and {first.source()}"
    try:
        latents = call("encode", encode, images).shape
    except InputError:
        latents = None
    for repair in repairs_of_shapes(images.shape, latents):
        try:
            reconstruct(*repair.apply(encode, decode), images)
        except PartError:
            if repair == _FIRST:  # the layout fits, and the message says what else to state
                raise
        except Exception:  # the caller's functions may fail in any way
            continue
        else:
            source = "pass the function that takes images first" if repair == _SWAPPED else f"use {repair.source()}"
            return f"{repair.wrong}: {source}"
    return None


_FIRST, _SWAPPED, *_ = repairs_of_shapes((1, 1, 1, 1), None)


def _works(encode: Partial, decode: Partial, images: np.ndarray) -> bool:
    try:
        reconstruct(encode, decode, images)
    except Exception:  # the caller's functions may fail in any way
        return False
    return True


_OWN, _OTHER = 0.8, 0.65
"""Least share of a change in its own half of the image that shows where latents belong, and the most that shows nothing."""


def check_grid_axes(
    decode: Partial,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    decoded: Float[np.ndarray, "n H W C"],
) -> None:
    """Checks that the axes of latents are rows, columns and channels: half of the latents move their own half of the image.

    Args:
        decode: The decoder.
        images: The user's.
        latents: Of these.
        decoded: From these.

    Raises:
        InputError: Latents whose last two axes are rows and columns.
    """
    _, height, width, _ = images.shape
    _, _, rows, columns = latents.shape
    if (
        min(latents.shape[1:]) < 2 or height * columns != width * rows
    ):  # channels first would not have the images' proportions
        return
    latents, decoded = latents[:_TRIED], decoded[:_TRIED]
    others = np.roll(latents, 1, axis=0) if len(latents) > 1 else latents[:, ::-1, ::-1, ::-1]
    moves = []
    for axis in (1, 2, 3):
        half = np.arange(latents.shape[axis]) < latents.shape[axis] // 2
        half = half.reshape([-1 if i == axis else 1 for i in range(4)])
        moves.append((call("decode", decode, np.where(half, others, latents)) - decoded) ** 2)
    shares = [_shares(move, latents.shape[axis]) for axis, move in zip((1, 2, 3), moves, strict=True)]
    ours = min(shares[0][0], shares[1][1])
    theirs = min(shares[1][0], shares[2][1])
    if theirs > _OWN and ours < _OTHER:
        raise InputError(
            f"encode: expected latents (n, h, w, d), found {latents.shape} for images {images.shape}, whose last two axes are "
            f"rows and columns; use {LATENTS_FIRST.source()}."
        )


def _shares(move: Float[np.ndarray, "n H W C"], size: int) -> tuple[float, float]:
    """Shares of a change in the top rows and in the left columns, as many of all as half of a size is of that."""
    part, whole = (size // 2) / size, max(float(move.sum()), 1e-30)
    rows, columns = (round(part * move.shape[axis]) for axis in (1, 2))
    return float(move[:, :rows].sum()) / whole, float(move[:, :, :columns].sum()) / whole
