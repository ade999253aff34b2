"""Images of a corpus, shard after shard: folders of files, arrays, WebDataset tars, array_record.

A shard knows its length and gives any of its images, so that grain reads it: in parallel, ahead of time, and in the same order
everywhere. An image that cannot be read is a record that says why.
"""

import abc
import functools
import hashlib
import json
import os
import pathlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from geovq.corpus.folder import find_images
from geovq.corpus.pixels import decode_image, read_image
from geovq.validation import InputError

FILES_OF_SHARD = 1000
"""Image files, or images of an array, that make a shard."""

_IMAGES = (".jpg", ".jpeg", ".png", ".webp")
_LABELS = (".cls", ".txt")
"""Endings of members of a WebDataset that hold a label; the first that there is counts."""

_THREADS, _AHEAD = 4, 16
"""That read, and images that are read ahead."""


class Record(NamedTuple):
    """One image of a corpus."""

    name: str
    """Unique in its shard."""
    image: UInt8[np.ndarray, "H W 3"] | None
    """None where it cannot be read."""
    label: str | int | None = None
    error: str = ""
    """Why it cannot be read."""


class ImageShard(abc.ABC):
    """Some images of a corpus, any of which can be read."""

    name: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Record:
        """One image; a damaged one does not raise."""


def open_images(source: str | os.PathLike, *, labels: bool = False) -> list[ImageShard]:
    """The shards of a corpus, in an order that does not depend on the machine.

    Args:
        source: A folder of images; or one of `.tar` (WebDataset), `.npy` and `.npz` or array_record files, or a single file of them.
        labels: Whether the name of the folder that directly holds an image file is its label. Tars have labels in members that end in
            `.cls` or `.txt`, and `.npz` files in the array `labels`.

    Raises:
        InputError: Nothing there, files of several kinds, or files that are not what their endings say.
    """
    path = pathlib.Path(source)
    files = sorted(file for kind in _OPEN for file in path.glob(f"*{kind}")) if path.is_dir() else [path]
    kinds = {file.suffix for file in files}
    if not path.is_dir() and (not path.exists() or path.suffix not in _OPEN):
        found = f"a file that ends in {path.suffix!r}" if path.exists() else "nothing"
        raise InputError(f"{path}: expected a folder of images, or a file that ends in {', '.join(_OPEN)}, found {found}; check it.")
    if not files:
        return _folder_shards(path, labels)
    if len(kinds) > 1 and not kinds <= {".npy", ".npz"}:
        raise InputError(f"{path}: expected files of one kind, found {', '.join(sorted(kinds))}; pass folders of one kind.")
    return [shard for file in files for shard in _OPEN[file.suffix](file)]


def read_shard(shard: ImageShard) -> Iterator[Record]:
    """Images of a shard in order, read ahead by threads."""
    try:
        import grain  # late: only corpora need it
    except ImportError as error:
        raise InputError(f"corpus: expected grain to be installed, found: {error}; run pip install 'geovq[corpus]'.") from error
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    return iter(grain.MapDataset.source(shard).to_iter_dataset(options))


def fingerprint(shards: Sequence[ImageShard]) -> str:
    """SHA-256 of the names and lengths of all shards."""
    return hashlib.sha256(json.dumps([[shard.name, len(shard)] for shard in shards]).encode()).hexdigest()


class _Files(ImageShard):
    """Some image files of a folder."""

    def __init__(self, folder: pathlib.Path, paths: Sequence[pathlib.Path], labels: bool):
        self._folder, self._paths, self._labels = folder, paths, labels
        names = "\n".join(self._name(path) for path in paths)
        self.name = f"{self._name(paths[0])}, {hashlib.sha256(names.encode()).hexdigest()}"

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Record:
        path = self._paths[index]
        label = path.parent.name if self._labels else None
        try:
            return Record(self._name(path), read_image(path), label)
        except InputError as error:
            return Record(self._name(path), None, label, str(error))

    def _name(self, path: pathlib.Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _folder_shards(folder: pathlib.Path, labels: bool) -> list[ImageShard]:
    paths = find_images(folder)
    return [_Files(folder, paths[i : i + FILES_OF_SHARD], labels) for i in range(0, len(paths), FILES_OF_SHARD)]


class _Array(ImageShard):
    """Some rows of an array of images."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray | None, first: int, last: int):
        self.name = f"{name}[{first}:{last}]"
        self._images, self._labels, self._rows = images, labels, range(first, last)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Record:
        row = self._rows[index]
        label = None if self._labels is None else self._labels[row].item()
        return Record(f"{row:09}", _as_rgb(self._images[row]), label)


def _as_rgb(image: np.ndarray) -> UInt8[np.ndarray, "H W C"]:
    """Grey images (H, W) get an axis; others stay."""
    return np.asarray(image if image.ndim == 3 else image[..., None])


def _array_shards(path: pathlib.Path) -> list[ImageShard]:
    images, labels = _load_images(path)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{path}: expected uint8 images (n, H, W, C) or (n, H, W), found {images.dtype} {images.shape}; convert them to bytes."
        )
    if labels is not None and labels.shape != images.shape[:1]:
        raise InputError(f"{path}: expected {len(images)} labels, found shape {labels.shape}; give one for each image.")
    return [
        _Array(path.name, images, labels, i, min(i + FILES_OF_SHARD, len(images)))
        for i in range(0, len(images), FILES_OF_SHARD)
    ]


def _load_images(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images, mapped into memory where the file allows it, and labels."""
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        with np.load(path, allow_pickle=False) as file:
            if "images" not in file:
                raise InputError(f"{path}: expected an array named images, found {', '.join(file) or 'none'}; rename it.")
            return file["images"], file["labels"] if "labels" in file else None
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: expected arrays in NumPy's format, found: {error}; write the file again.") from error


class _Tar(ImageShard):
    """A WebDataset tar: members KEY.jpg, with KEY.cls or KEY.txt for a label."""

    def __init__(self, path: pathlib.Path):
        self.name, self._path = path.name, path
        self._members: list[tuple[str, tarfile.TarInfo, tarfile.TarInfo | None]] = []
        try:
            with tarfile.open(path, "r:") as file:
                members = {member.name: member for member in file if member.isfile()}
        except (OSError, tarfile.TarError) as error:
            raise InputError(f"{path}: expected a tar without compression, found: {error}; write the file again.") from error
        for name, member in members.items():
            key, ending = os.path.splitext(name)
            if ending.lower() in _IMAGES:
                label = next((members[key + kind] for kind in _LABELS if key + kind in members), None)
                self._members.append((name, member, label))
        if not self._members:
            raise InputError(f"{path}: expected members that end in {', '.join(_IMAGES)}, found none; check the file.")

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> Record:
        name, member, label_member = self._members[index]
        with self._path.open("rb") as file:  # of its own for every thread
            data = _slice(file, member)
            label = None if label_member is None else _label(_slice(file, label_member))
        return _decoded(name, data, label)


def _slice(file: Any, member: tarfile.TarInfo) -> bytes:
    file.seek(member.offset_data)
    return file.read(member.size)


def _label(data: bytes) -> str | int:
    text = data.decode(errors="replace").strip()
    return int(text) if text.lstrip("-").isdecimal() else text


def _decoded(name: str, data: bytes, label: str | int | None = None) -> Record:
    """An image out of the bytes of its file."""
    try:
        return Record(name, decode_image(data, name), label)
    except InputError as error:
        return Record(name, None, label, str(error))


def _tar_shards(path: pathlib.Path) -> list[ImageShard]:
    return [_Tar(path)]


class _ArrayRecord(ImageShard):
    """An array_record file whose records are image files."""

    def __init__(self, path: pathlib.Path):
        self.name, self._path = path.name, path
        self._count = len(self._source)

    @functools.cached_property
    def _source(self) -> Any:
        try:
            import grain
        except ImportError as error:
            raise InputError(f"corpus: expected grain to be installed, found: {error}; run pip install 'geovq[corpus]'.") from error
        return grain.sources.ArrayRecordDataSource(str(self._path))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return _decoded(f"{index:09}", self._source[index])


def _record_shards(path: pathlib.Path) -> list[ImageShard]:
    return [_ArrayRecord(path)]


_OPEN = {
    ".tar": _tar_shards,
    ".npy": _array_shards,
    ".npz": _array_shards,
    ".array_record": _record_shards,
    ".arrayrecord": _record_shards,
}
"""How a file is opened, by its ending."""

