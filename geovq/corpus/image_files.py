"""Shards of image files, and images out of the bytes of a file."""

import pathlib
from collections.abc import Sequence

from geovq.corpus.pixels import decode_image
from geovq.corpus.records import HEAD, ImageShard, Record
from geovq.validation import InputError


class ImageFiles(ImageShard):
    """Some image files of a folder."""

    block = 1

    def __init__(self, folder: pathlib.Path, names: Sequence[str], labels: bool):
        """Opens nothing.

        Args:
            folder: Holds them.
            names: Their paths in it, with slashes.
            labels: Whether the folder that directly holds a file is its label.
        """
        self.name = names[0]
        self._folder, self._names, self._labels = folder, names, labels

    def __len__(self) -> int:
        """Files."""
        return len(self._names)

    def read(self, start: int, stop: int) -> list[Record]:
        """Opens and decodes them."""
        return [self._read(name) for name in self._names[start:stop]]

    def identity(self) -> bytes:
        """All names, and the first file's first bytes."""
        try:
            with open(self._folder / self._names[0], "rb") as file:
                head = file.read(HEAD)
        except OSError:  # told when it is read
            head = b""
        return "\n".join((f"labels {self._labels}", *self._names)).encode(errors="surrogateescape") + head

    def _read(self, name: str) -> Record:
        path = self._folder / name
        label = path.parent.name if self._labels else None
        try:
            data = path.read_bytes()
        except OSError as error:
            return Record(
                name, None, label, f"{name}: expected a file that can be read, found: {error.strerror}; check it."
            )
        return decode_record(name, data, label)


def decode_record(name: str, data: bytes, label: str | int | None) -> Record:
    """An image out of the bytes of its file, or why there is none."""
    try:
        return Record(name, decode_image(data, name), label)
    except InputError as error:
        return Record(name, None, label, str(error))
