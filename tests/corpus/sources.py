"""Corpora of the tests: the same images as files, arrays, tars and array_record."""

import io
import pathlib
import tarfile
from collections.abc import Mapping

import numpy as np
import PIL.Image


def png(pixels: np.ndarray) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_folder(folder: pathlib.Path, images: Mapping[str, np.ndarray]) -> None:
    """Image files by their names, with slashes."""
    for name, pixels in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(pixels))


def write_tar(path: pathlib.Path, members: Mapping[str, bytes]) -> None:
    """A tar."""
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
