"""Paths as users give them."""

import pathlib
from typing import Any

from geovq.validation import InputError, shown


def as_path(name: str, path: Any) -> pathlib.Path:
    """A path, in the home folder if it begins with "~".

    Args:
        name: What the message calls it.
        path: Text, or what gives the path of a file as text.

    Raises:
        InputError: Something else.
    """
    try:
        return pathlib.Path(path).expanduser()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: expected a path, found {shown(path)}; pass text or a pathlib.Path.") from error
