"""Folders that a command fills: begun once, known again, and never mixed with other files."""

import pathlib
from collections.abc import Mapping
from typing import Any

from geovq.storage.records import read_record, write_record
from geovq.validation import InputError

_REMEDY = "restore it from a copy, choose another folder, or remove this one"


def claim(folder: pathlib.Path, name: str, made_from: Mapping[str, Any]) -> None:
    """Makes a folder and writes what is made there into a file of it; or finds it begun with the same.

    Args:
        folder: What is claimed.
        name: Of the file.
        made_from: What the folder's content depends on, JSON-serialisable. The file may hold more.

    Raises:
        InputError: It was begun with something else, has other files, or cannot be written.
    """
    if (folder / name).exists():
        found = read_record(folder / name, remedy=_REMEDY)
        changed = [key for key, value in made_from.items() if found.get(key) != value]
        if changed:
            raise InputError(
                f"{folder}: expected a folder that was begun with the same {' and '.join(changed)}, found another; choose "
                "another folder, or remove this one."
            )
        return
    try:
        others = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
    except OSError as error:
        raise InputError(f"{folder}: expected a folder, found: {error.strerror}; choose another.") from error
    if others:
        raise InputError(
            f"{folder}: expected no such folder, or an empty one, found {min(others)} in it; choose another."
        )
    write_record(folder / name, dict(made_from))
