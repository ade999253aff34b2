"""Images as data URIs: photographs to the bit, patches on one sheet, numbers as colours."""

import base64
import io

import numpy as np
import PIL.Image
from jaxtyping import Float, Int, Num, UInt8

from geovq.cli.page.content import Picture

LOSSLESS = 100
"""Quality with which an image is kept to the bit."""

_TINY = 1e-12

_PALE = 0.3
"""Opacity of what is not used."""

_GAP = 2
"""Pixels between the patches of a sheet."""


def as_bytes(image: Num[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
    """Intensities in [0, 1] as bytes; bytes stay as they are."""
    if image.dtype == np.uint8:
        return image
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def picture(image: Num[np.ndarray, "H W C"], alt: str, *, quality: int = LOSSLESS) -> Picture:
    """An image as a WebP file inside a page.

    Args:
        image: Bytes, or intensities in [0, 1]; grey (C = 1), colours (C = 3), or colours and opacity (C = 4). Of other numbers
            of channels the mean is shown.
        alt: What there is to see.
        quality: 0 to 99, or `LOSSLESS`.
    """
    pixels = as_bytes(image)
    if pixels.shape[2] not in (1, 3, 4):
        pixels = as_bytes(image.mean(axis=2, keepdims=True).astype(image.dtype))
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    buffer = io.BytesIO()
    lossless = quality == LOSSLESS
    PIL.Image.fromarray(pixels).save(buffer, "WEBP", lossless=lossless, quality=quality, method=4, exact=False)
    source = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(source, alt, pixels.shape[1], pixels.shape[0])


def thumbnail(image: Num[np.ndarray, "H W C"], alt: str, side: int) -> Picture:
    """A small version of an image, at most so many pixels wide and high."""
    shown = PIL.Image.fromarray(as_bytes(image).repeat(3 if image.shape[2] == 1 else 1, axis=2))
    shown.thumbnail((side, side))
    return picture(np.asarray(shown), alt, quality=80)


def sheet(patches: Float[np.ndarray, "m H W C"], columns: int, used: int | None = None) -> Float[np.ndarray, "Y X 4"]:
    """Patches in rows, in order, with transparent gaps; those after the first `used` ones are pale."""
    m, height, width, channels = patches.shape
    rows = -(-m // columns)
    canvas = np.zeros((rows * (height + _GAP), columns * (width + _GAP), 4), np.float32)
    for i, patch in enumerate(patches):
        top, left = (i // columns) * (height + _GAP), (i % columns) * (width + _GAP)
        tile = canvas[top : top + height, left : left + width]
        tile[..., :3] = patch if channels in (1, 3) else patch.mean(axis=2, keepdims=True)
        tile[..., 3] = 1 if used is None or i < used else _PALE
    return canvas[: -_GAP or None, : -_GAP or None]


def error_map(
    image: Float[np.ndarray, "H W C"], other: Float[np.ndarray, "H W C"], full: float
) -> Float[np.ndarray, "H W 3"]:
    """Root mean squared difference over the colours of each pixel, as colours from black to light yellow.

    Args:
        image: Intensities in [0, 1].
        other: Of the same shape.
        full: The difference that is shown in the last colour, and all above it.
    """
    return heat(np.sqrt(((image - other) ** 2).mean(axis=2)) / full)


def heat(values: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """Numbers in [0, 1] as colours of matplotlib's magma, whose brightness rises evenly."""
    import matplotlib  # late: it takes half a second

    return matplotlib.colormaps["magma"](np.clip(values, 0, 1))[..., :3].astype(np.float32)


def code_colours(codes: Float[np.ndarray, "K d"]) -> Float[np.ndarray, "K 3"]:
    """A colour for each code, alike where codes are: green, red and blue by their first three principal directions."""
    centred = codes - codes.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = centred @ directions[:3].T
    along = np.zeros((len(codes), 3), np.float32)
    along[:, : found.shape[1]] = found / max(float(found[:, 0].std()), _TINY)
    return 0.5 + 0.4 * np.tanh(along[:, [1, 0, 2]] / 1.5)


def token_map(tokens: Int[np.ndarray, "h w"], colours: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "h w 3"]:
    """Tokens as the colours of their codes, a pixel each."""
    return colours[tokens]
