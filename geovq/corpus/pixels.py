"""One image file as pixels: upright, RGB, 8 bits, and refused by name where that cannot be had."""

import contextlib
import io
import os
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from geovq.storage.paths import as_path
from geovq.validation import InputError, refusing

_FORMATS = ("PNG", "JPEG", "WEBP")
"""Decoders that may see a file; its first bytes say which, whatever its name ends with."""

_WHITE = (255, 255, 255, 255)
"""Red, green, blue and alpha of what shows through transparent pixels."""

_ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held: 5 to 8 exchange height and width."""

_OPENING = threading.Lock()
"""What warnings do is changed for the whole process, so one thread at a time changes it."""


def read_image(path: str | os.PathLike) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels of a PNG, JPEG or WebP file.

    The image is turned upright as its EXIF orientation says. Grey becomes three equal channels. Transparent pixels are blended
    with white. 16-bit numbers keep their upper 8 bits. Palettes and CMYK are converted; colour profiles are not applied.

    Args:
        path: The file.

    Returns:
        uint8 (H, W, 3), which `Tokenizer.fit` takes as it is once images of one size are stacked.

    Raises:
        InputError: Pillow is not installed; or the file is missing, broken, of another format, animated, or of more pixels than
            Pillow opens (`PIL.Image.MAX_IMAGE_PIXELS`, 89 million). The message names the file.
    """
    path = as_path("path", path)
    with _open(path, str(path)) as image:
        return _rgb(_pillow().ImageOps.exif_transpose(image))


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels of a file that is in memory, by the name of which errors speak; as `read_image`."""
    with _open(io.BytesIO(data), name) as image:
        return _rgb(_pillow().ImageOps.exif_transpose(image))


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of the image that `read_image` gives, from the file's header where it holds them; same errors."""
    with _open(path, str(path)) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = image.size
        return (width, height) if turned else (height, width)


@contextlib.contextmanager
def _open(file: str | os.PathLike | io.BytesIO, name: str) -> Iterator[Any]:
    """An image of Pillow; what goes wrong here or inside the block becomes an error that names the file."""
    pil = _pillow().Image
    with refusing(name, "a whole PNG, JPEG or WebP file", "copy it again, convert it, or leave it out"):
        try:
            with _OPENING, warnings.catch_warnings():
                warnings.simplefilter("error", pil.DecompressionBombWarning)
                opened = pil.open(file, formats=_FORMATS)  # reads the header alone
            with opened as image:
                _check_single(name, image)
                yield image
        except (pil.DecompressionBombWarning, pil.DecompressionBombError) as error:
            raise InputError(
                f"{name}: expected at most {pil.MAX_IMAGE_PIXELS:,} pixels, found: {error}; make it smaller, "
                "or set PIL.Image.MAX_IMAGE_PIXELS if you trust the file."
            ) from error
        except FileNotFoundError as error:
            raise InputError(f"{name}: expected an image file, found nothing; pass a path of `find_images`.") from error


def _check_single(name: str, image: Any) -> None:
    """Refuses animations. An MPO is a photograph of a telephone, with previews or depth behind it."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise InputError(f"{name}: expected one image, found {frames} frames; save one of them as a file.")


def _rgb(image: Any) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels of an image of any mode that the three formats have."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = _pillow().Image.alpha_composite(_pillow().Image.new("RGBA", image.size, _WHITE), image)
    return np.array(image.convert("RGB"))


def _pillow() -> types.ModuleType:
    """Pillow, with the two modules that are used here."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise InputError(
            f"images: expected Pillow to be installed, found: {error}; run pip install 'geovq[images]'."
        ) from error
    return PIL
