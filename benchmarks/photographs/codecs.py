"""JPEG, WebP and AVIF by Pillow: codecs of whole images, for orientation. They give no grid of tokens."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

QUALITIES: dict[str, tuple[int, ...]] = {
    "JPEG": (5, 10, 20, 30, 50, 70, 85),
    "WEBP": (1, 10, 30, 50, 70, 85),
    "AVIF": (10, 25, 40, 50, 60, 75),
}
"""By the codec's own scale."""


def available() -> list[str]:
    """The codecs that the installed Pillow can write."""
    from PIL import features

    return [name for name in QUALITIES if name == "JPEG" or features.check(name.lower())]


def compress(codec: str, quality: int, image: UInt8[np.ndarray, "H W 3"]) -> tuple[UInt8[np.ndarray, "H W 3"], int]:
    """The decoded image, and the bytes of the file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, codec, quality=quality)
    return np.asarray(Image.open(file).convert("RGB")), len(file.getvalue())


def curve(codec: str, images: Sequence[np.ndarray]) -> list[tuple[int, list[np.ndarray], float]]:
    """Quality, decoded images, and bits a pixel, from the smallest files on."""
    found = []
    for quality in QUALITIES[codec]:
        made = [compress(codec, quality, image) for image in images]
        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        found.append((quality, [decoded for decoded, _ in made], 8 * sum(size for _, size in made) / pixels))
    return found
