"""Shards of `.npy` and `.npz` files: rows of an array of bytes, read a block at a time."""

import abc
import functools
import pathlib
import threading
import zipfile

import numpy as np
from jaxtyping import Shaped, UInt8

from geovq.corpus.records import HEAD, ImageShard, Record
from geovq.validation import InputError, refusing

ROWS_OF_SHARD = 8192

_BLOCK_BYTES = 1 << 20

_LABELS = "iuU"
"""Kinds of dtypes that labels have: whole numbers and text."""


class Rows(abc.ABC):
    """An array on disk."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "..."]:
        """Rows start to stop - 1."""


class _Npy(Rows):
    """Rows of an `.npy`, read and not mapped: pages of a mapped file count as memory of the process."""

    def __init__(self, path: pathlib.Path):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous:
            raise ValueError("an array in Fortran's order")
        self._path, self._offset = path, mapped.offset
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "..."]:
        row = int(np.prod(self.shape[1:]))
        offset = self._offset + start * row * self.dtype.itemsize
        found = np.fromfile(self._path, self.dtype, (stop - start) * row, offset=offset)
        return found.reshape(stop - start, *self.shape[1:])


class _Npz(Rows):
    """Rows of the array `images` of an `.npz`, of which one file at a time is in memory."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, _, self.dtype = read(file)

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "..."]:
        with _LOADING:
            return _images_of(self._path)[start:stop]


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=1)
def _images_of(path: pathlib.Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["images"]


class ArrayRows(ImageShard):
    """Some rows of an array of images."""

    def __init__(self, path: pathlib.Path, name: str, rows: Rows, labels: np.ndarray | None, span: range):
        """Reads nothing.

        Args:
            path: The file.
            name: What the images are called, before a slash and the number of their row.
            rows: The array.
            labels: Of all its rows.
            span: Which of them.
        """
        self.name = f"{name}[{span.start}:{span.stop}]"
        self.block = max(1, min(len(span), _BLOCK_BYTES // max(1, int(np.prod(rows.shape[1:])))))
        self._path, self._prefix, self._rows, self._labels, self._span = path, name, rows, labels, span

    def __len__(self) -> int:
        """Rows."""
        return len(self._span)

    def read(self, start: int, stop: int) -> list[Record]:
        """Reads them at once; grey images get an axis of channels."""
        first, last = self._span.start + start, self._span.start + stop
        images: UInt8[np.ndarray, "n H W C"] = self._rows.read(first, last)
        images = images if images.ndim == 4 else images[..., None]
        labels = [None] * len(images) if self._labels is None else self._labels[first:last].tolist()
        return [
            Record(f"{self._prefix}/{row:09}", image, label)
            for row, image, label in zip(range(first, last), images, labels, strict=True)
        ]

    def identity(self) -> bytes:
        """The file's size and shape, and some of the rows."""
        rows = max(1, min(len(self._span), HEAD // max(1, int(np.prod(self._rows.shape[1:])))))
        some = self._rows.read(self._span.start, self._span.start + rows)
        return f"{self._path.stat().st_size} {self._rows.shape}".encode() + some.tobytes()


def array_shards(path: pathlib.Path, name: str) -> list[ImageShard]:
    """The shards of a file.

    Args:
        path: An `.npy`, or an `.npz` with the array `images` and perhaps `labels`.
        name: What its images are called, see `ArrayRows`.

    Raises:
        InputError: Another file, or an array that is not of bytes.
    """
    with refusing(str(path), "an .npy of images, or an .npz with an array named images", "write the file again"):
        rows: Rows = _Npy(path) if path.suffix == ".npy" else _Npz(path)
        labels = None if path.suffix == ".npy" else _load_labels(path)
    shape = rows.shape
    if rows.dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape:
        raise InputError(
            f"{path}: expected uint8 images (n, H, W, C) or (n, H, W), found {rows.dtype} {shape}; convert them to bytes."
        )
    if labels is not None and (labels.shape != shape[:1] or labels.dtype.kind not in _LABELS):
        raise InputError(
            f"{path}: expected {shape[0]} labels, whole numbers or text, found {labels.dtype} {labels.shape}; give one for each "
            "image."
        )
    starts = range(0, shape[0], ROWS_OF_SHARD)
    spans = [range(start, min(start + ROWS_OF_SHARD, shape[0])) for start in starts]
    return [ArrayRows(path, name, rows, labels, span) for span in spans]


def _load_labels(path: pathlib.Path) -> np.ndarray | None:
    with np.load(path, allow_pickle=False) as file:
        return file["labels"] if "labels" in file.files else None
