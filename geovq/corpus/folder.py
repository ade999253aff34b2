"""Image files of a folder, in an order that does not depend on the machine."""

import os
import pathlib
from collections.abc import Sequence
from typing import NoReturn

from geovq.validation import InputError

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
"""Endings of image files, in lower or upper case."""


def find_images(folder: str | os.PathLike) -> list[pathlib.Path]:
    """PNG, JPEG and WebP files of a folder and of all folders in it.

    Files are found by the endings of their names. Names that begin with a dot are left out, folders too; links to folders are
    not followed.

    Args:
        folder: The folder.

    Returns:
        Paths that begin with `folder`, sorted by the names of their folders and their own, upper case before lower case.

    Raises:
        InputError: The folder is missing, is a file, or cannot be read; or it has no image.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(
            f"{folder}: expected a folder of images, found {found}; pass the folder that holds the images."
        )
    paths = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [pathlib.Path(parent, name) for name in names if _is_image(name)]
    if not paths:
        raise InputError(
            f"{folder}: expected files that end in {', '.join(SUFFIXES)}, found none in it and its folders; "
            "pass the folder that holds the images."
        )
    return sorted(paths, key=lambda path: path.relative_to(folder).parts)


def as_paths(folder_or_paths: str | os.PathLike | Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """The images of a folder, or given paths in their order.

    Args:
        folder_or_paths: A folder, or paths of images.

    Raises:
        InputError: What `find_images` refuses, or no path.
    """
    if isinstance(folder_or_paths, str | os.PathLike):
        return find_images(folder_or_paths)
    paths = [pathlib.Path(path) for path in folder_or_paths]
    if not paths:
        raise InputError("folder_or_paths: expected a folder or at least one path, found an empty list.")
    return paths


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _refuse(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename}: expected a folder that can be read, found: {error.strerror}; change its permissions or move it."
    ) from error
