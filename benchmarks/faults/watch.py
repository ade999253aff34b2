"""File operations of this process under one folder, seen just before they happen: opening to write, making, renaming, removing.

Python's audit hook sees them wherever they are called from, threads of other libraries included; only what compiled code writes
by itself is seen when the next operation comes. A hook stays until the process ends, so there is one, which looks at one folder.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Seen = Callable[[str, pathlib.Path], None]
"""Called with the operation and its path; what it raises, the operation raises."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_FOLDER_ARGUMENT = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2}
"""Where an event has the descriptor of the folder that its path is in."""

_EVENTS = {"open", "os.truncate", "os.link", "os.symlink", *_FOLDER_ARGUMENT}


class _State:
    """Whom the hook tells, and whether this process has it."""

    seen: Seen | None = None
    folder = pathlib.Path()
    hooked = False


@contextlib.contextmanager
def watching(folder: pathlib.Path, seen: Seen) -> Iterator[None]:
    """Calls `seen` before every operation on the folder or below it."""
    if not _State.hooked:
        sys.addaudithook(_hook)
        _State.hooked = True
    _State.folder, _State.seen = folder.resolve(), seen
    try:
        yield
    finally:
        _State.seen = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    seen = _State.seen
    if seen is None or event not in _EVENTS or (event == "open" and not (arguments[2] or 0) & _WRITES):
        return
    path = _path(event, arguments)
    if path is not None and path.is_relative_to(_State.folder):
        seen(event, path)


def _path(event: str, arguments: tuple[Any, ...]) -> pathlib.Path | None:
    """The absolute path of an operation; None where it is on an open file."""
    given = arguments[0]
    if not isinstance(given, str | bytes | os.PathLike):
        return None
    path, at = os.fsdecode(given), arguments[_FOLDER_ARGUMENT[event]] if event in _FOLDER_ARGUMENT else -1
    if not os.path.isabs(path) and isinstance(at, int) and at >= 0:
        with contextlib.suppress(OSError):
            path = os.path.join(os.readlink(f"/proc/self/fd/{at}"), path)
    return pathlib.Path(os.path.abspath(path))
