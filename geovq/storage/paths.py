"""Paths as users give them."""

import os
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
        text = os.fspath(path)
        if not isinstance(text, str) or b"\0" in os.fsencode(text):
            raise TypeError("not the text of a path")
    except (TypeError, UnicodeError) as error:
        raise InputError(f"{name}: expected a path, found {shown(path)}; pass text or a pathlib.Path.") from error
    return pathlib.Path(os.path.expanduser(text))
