"""Bytes of images as the intensities that networks see."""

from typing import Any


def to_intensities(images: Any) -> Any:
    """uint8 images, of NumPy or JAX, as float32 in [0, 1]."""
    return images.astype("float32") / 255
