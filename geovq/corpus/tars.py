"""Shards that are WebDataset tars: members KEY.jpg, with KEY.cls or KEY.txt for a label. Nothing is extracted to disk."""

import functools
import pathlib
import tarfile
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Int

from geovq.corpus.folder import SUFFIXES
from geovq.corpus.image_files import decode_record
from geovq.corpus.records import HEAD, ImageShard, Record
from geovq.validation import InputError, refusing

_LABELS = ("cls", "txt")
"""What a label's name ends with; the first that there is counts."""

_INDICES = 2
"""Tars whose lists of members are kept in memory."""


class _Index(NamedTuple):
    """Where the images of a tar are."""

    names: list[str]
    places: Int[np.ndarray, "n 4"]
    """Offset and size of an image and of its label; a label that is not there has the size -1."""


class Tar(ImageShard):
    """The images of a tar without compression, in the order of its members."""

    block = 1

    def __init__(self, path: pathlib.Path, name: str):
        """Opens nothing.

        Args:
            path: The file.
            name: What its images are called, before a slash and the name of their member.
        """
        self.name, self._path = name, path

    @functools.cached_property
    def _count(self) -> int:
        return len(_read_index(self._path).names)

    def __len__(self) -> int:
        """Members that are images; the headers of all members are read for it, once."""
        return self._count

    def read(self, start: int, stop: int) -> list[Record]:
        """Reads their bytes and decodes them."""
        index = _read_index(self._path)
        with self._path.open("rb") as file:
            return [self._read(file, index.names[i], index.places[i].tolist()) for i in range(start, stop)]

    def identity(self) -> bytes:
        """The file's size and first bytes."""
        with self._path.open("rb") as file:
            return f"{self._path.stat().st_size}".encode() + file.read(HEAD)

    def _read(self, file: IO[bytes], member: str, place: list[int]) -> Record:
        name, (offset, size, label_offset, label_size) = f"{self.name}/{member}", place
        path = pathlib.PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts:
            return Record(
                name, None, None, f"{name}: expected a path inside the tar, found one that leaves it; rename it."
            )
        label = None if label_size < 0 else _as_label(_slice(file, label_offset, label_size))
        return decode_record(name, _slice(file, offset, size), label)


def tar_shards(path: pathlib.Path, name: str) -> list[ImageShard]:
    """The one shard of a file, see `Tar`.

    Raises:
        InputError: It is not a tar, is compressed or cut off, or holds no images.
    """
    shard = Tar(path, name)
    if not len(shard):
        raise InputError(f"{path}: expected members that end in {', '.join(SUFFIXES)}, found none; check the file.")
    return [shard]


@functools.lru_cache(maxsize=_INDICES)
def _read_index(path: pathlib.Path) -> _Index:
    with (
        refusing(str(path), "a whole tar without compression", "write the file again"),
        tarfile.open(path, "r:") as file,
    ):
        members = {member.name: (member.offset_data, member.size) for member in file if member.isreg()}
    names = [name for name in members if name.lower().endswith(SUFFIXES)]
    places = [(*members[name], *_label_of(name, members)) for name in names]
    return _Index(names, np.array(places, np.int64).reshape(-1, 4))


def _label_of(name: str, members: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Where the label of an image is: beside its whole name, or beside the key, which ends at the name's first dot."""
    folder, slash, file = name.rpartition("/")
    stems = name.rpartition(".")[0], f"{folder}{slash}{file.partition('.')[0]}"
    labels = (f"{stem}.{kind}" for stem in stems for kind in _LABELS)
    return next((members[label] for label in labels if label in members), (0, -1))


def _slice(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _as_label(data: bytes) -> str | int:
    text = data.decode(errors="replace").strip()
    return int(text) if text.removeprefix("-").isdecimal() else text
