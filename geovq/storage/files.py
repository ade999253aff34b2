"""Bytes of files: written under a temporary name and renamed, by one of several processes; read, or refused by name."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from geovq.storage.paths import as_path
from geovq.validation import InputError, refusing

_UNFINISHED = ".tmp"
"""End of the name under which a file is written, before it is renamed."""

_Turn = Callable[[], AbstractContextManager[bool]]


def _alone() -> AbstractContextManager[bool]:
    """The turn of a program that runs in one process."""
    return contextlib.nullcontext(True)


_turn: _Turn = _alone


def take_turns(turn: _Turn) -> None:
    """From now on files change within `turn()`, in the process where it gives True."""
    global _turn
    _turn = turn


def turn() -> AbstractContextManager[bool]:
    """Around a change of files that several processes are about to make: gives whether this one makes it."""
    return _turn()


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Writes a file that is never seen half-written: temporary name, fsync, rename, fsync of the folder.

    Args:
        path: Where it goes, in the home folder if it begins with "~"; its folder is made.
        data: The whole content.

    Raises:
        InputError: The disk is full, a folder has that name, or the file cannot be written; an older file there is untouched.
    """
    path = as_path("path", path)
    if path.is_dir():
        raise InputError(
            f"{path}: expected to write a file, found a folder of that name; move it away or take another name."
        )
    with turn() as mine:
        if mine:
            _write(path, data)


def _write(path: pathlib.Path, data: bytes | memoryview) -> None:
    """What `write_bytes` does, in the process that writes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: expected to write {len(data):,} bytes, found: {error.strerror or error}; "
            "free space or choose another folder. An older file there is untouched."
        ) from error


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes from a folder what `write_bytes` left there when it was killed; no other process may write there."""
    with turn() as mine:
        for leftover in pathlib.Path(folder).glob(f".*{_UNFINISHED}") if mine else ():
            leftover.unlink()


def check_writable(path: str | os.PathLike) -> None:
    """Refuses a file that cannot be written, before hours of work: writes another one beside it, and removes what it made.

    Raises:
        InputError: Its folder cannot be made or written to, or the path is a folder.
    """
    path = as_path("path", path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder; add a file's name.")
    with turn() as mine:
        if mine:
            trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
            made = [folder for folder in trial.parents if not folder.exists()]
            _write(trial, b"")
            trial.unlink()
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def reading(path: str | os.PathLike, expected: str, remedy: str) -> Iterator[BinaryIO]:
    """Opens a file of a stranger: whatever goes wrong in the block is one InputError, which names the file.

    Args:
        path: The file.
        expected: What it should be, for the message.
        remedy: What to do where it is something else.

    Raises:
        InputError: Nothing there, a folder or a device, a file that cannot be read, or what the block raises.
    """
    path = as_path("path", path)
    if not path.is_file():  # a pipe would be waited for, and a device has no end
        found = "a folder" if path.is_dir() else "no regular file" if path.exists() else "none"
        raise InputError(f"{path}: expected {expected}, found {found}; check the path.")
    with refusing(str(path), expected, remedy), open(path, "rb") as file:
        yield file
