"""Image files of a folder, in an order that does not depend on the machine."""

import os
import pathlib
from collections.abc import Sequence
from typing import NoReturn

from geovq.storage.paths import as_path
from geovq.validation import InputError, shown

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
    folder = as_path("folder", folder)
    paths = [folder / name for name in find_files(folder) if name.lower().endswith(SUFFIXES)]
    if not paths:
        raise InputError(
            f"{folder}: expected files that end in {', '.join(SUFFIXES)}, found none in it and its folders; "
            "pass the folder that holds the images."
        )
    return paths


def find_files(folder: pathlib.Path) -> list[str]:
    """All files of a folder and of the folders in it, with slashes, in the order of `find_images`, which leaves out the same.

    Raises:
        InputError: The folder is missing, is a file, or cannot be read.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(
            f"{folder}: expected a folder of images, found {found}; pass the folder that holds the images."
        )
    names = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = pathlib.Path(parent).relative_to(folder)
        names += [(inside / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(names, key=lambda name: name.split("/"))


def as_paths(folder_or_paths: str | os.PathLike | Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """The images of a folder, or given paths in their order.

    Args:
        folder_or_paths: A folder, or paths of images.

    Raises:
        InputError: What `find_images` refuses, or no path.
    """
    if isinstance(folder_or_paths, str | os.PathLike):
        return find_images(folder_or_paths)
    if not isinstance(folder_or_paths, Sequence):
        raise InputError(
            f"folder_or_paths: expected a folder or a list of paths, found {shown(folder_or_paths)}; change it."
        )
    paths = [as_path("folder_or_paths", path) for path in folder_or_paths]
    if not paths:
        raise InputError("folder_or_paths: expected a folder or at least one path, found an empty list.")
    return paths


def _refuse(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename}: expected a folder that can be read, found: {error.strerror}; change its permissions or move it."
    ) from error
