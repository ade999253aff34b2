"""Copies of a folder at many moments, of which equal files are kept once."""

import hashlib
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

State = dict[str, str | None]
"""What a folder holds: digest of every file by its path, None for a folder."""


class _Known(NamedTuple):
    """By which a file is taken to be as it was when it was read last."""

    inode: int
    size: int
    changed: int


class Store:
    """Contents of files by their digests."""

    def __init__(self, folder: pathlib.Path):
        """Makes the folder.

        Args:
            folder: Where the contents are kept.
        """
        self._folder = folder
        self._known: dict[tuple[str, _Known], str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, folder: pathlib.Path) -> State:
        """The folder as it is now; empty where there is none."""
        state: State = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            try:
                state[name] = None if path.is_dir() else self._digest(path)
            except FileNotFoundError:  # another thread has just renamed it
                continue
        return state

    def _digest(self, path: pathlib.Path) -> str:
        found = path.stat()
        key = (str(path), _Known(found.st_ino, found.st_size, found.st_mtime_ns))
        if key not in self._known:
            self._known[key] = self.keep(path.read_bytes())
        return self._known[key]

    def keep(self, content: bytes) -> str:
        """Keeps a content, and says its digest."""
        sha = hashlib.sha256(content).hexdigest()
        place = self._folder / sha
        if not place.exists():
            place.write_bytes(content)
        return sha

    def content(self, sha: str) -> bytes:
        """A content by its digest."""
        return (self._folder / sha).read_bytes()

    def restore(self, state: State, folder: pathlib.Path) -> None:
        """Makes a folder as it was."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, sha in state.items():
            path = folder / name
            if sha is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.content(sha))

    def torn(self, before: State, now: State) -> Iterator[tuple[str, State]]:
        """Names of files that have grown or changed since, each with the state in which only half of that was written.

        Files that have only got another name are left out: a kill never leaves half of those.
        """
        there = {*before.values(), None}
        for name, sha in now.items():
            old = before.get(name)
            if sha is None or sha in there:
                continue
            new, start = self.content(sha), self.content(old) if old else b""
            whole = len(start) if new.startswith(start) else 0
            half = new[: whole + (len(new) - whole) // 2]
            if half not in (new, start):
                yield name, now | {name: self.keep(half)}
