"""Opens a corpus: a folder of images, arrays, WebDataset tars or array_record files, as shards."""

import os
import pathlib
import re
from collections.abc import Callable

from geovq.corpus.array_records import record_shards
from geovq.corpus.arrays import array_shards
from geovq.corpus.folder import SUFFIXES, find_files
from geovq.corpus.image_files import ImageFiles
from geovq.corpus.records import ImageShard
from geovq.corpus.tars import tar_shards
from geovq.storage.paths import as_path
from geovq.validation import InputError

FILES_OF_SHARD = 1024

_FILES = "image files"

_KINDS: dict[str, re.Pattern[str]] = {
    _FILES: re.compile("|".join(rf"{re.escape(suffix)}$" for suffix in SUFFIXES), re.IGNORECASE),
    "tars": re.compile(r"\.tar$"),
    "arrays": re.compile(r"\.np[yz]$"),
    "array_record files": re.compile(r"\.array_?record(-\d+-of-\d+)?$"),
}
"""Kinds of files by their endings."""

_OPEN: dict[str, Callable[[pathlib.Path, str], list[ImageShard]]] = {
    "tars": tar_shards,
    "arrays": array_shards,
    "array_record files": record_shards,
}
"""How a file of many images is opened."""

_ENDINGS = f"{', '.join(SUFFIXES)}, .tar, .npy, .npz or .array_record"


def open_images(source: str | os.PathLike, *, labels: bool = False) -> list[ImageShard]:
    """The shards of a corpus, in an order that does not depend on the machine.

    Args:
        source: A folder, nested or not, of image files (PNG, JPEG, WebP), or of files that hold many images: WebDataset tars;
            `.npy` with uint8 (n, H, W, C) or (n, H, W); `.npz` with such an array `images` and perhaps `labels`; array_record
            files whose records are image files. Or one such file.
        labels: Whether the folder that directly holds an image file is its label. Tars have labels in members that end in `.cls`
            or `.txt`.

    Returns:
        Shards of 1,024 image files or 8,192 rows of an array at most; a tar or an array_record file is one shard.

    Raises:
        InputError: Nothing there, files of several kinds, or files that are not what their endings say. Single images that cannot
            be read are told when they are read.
    """
    path = as_path("source", source)
    if path.is_dir():
        return _open_folder(path, labels)
    kind = _kind_of(path.name) if path.exists() else None
    if kind is None:
        found = "a file with another ending" if path.exists() else "nothing"
        raise InputError(
            f"{path}: expected a folder of images, or a file that ends in {_ENDINGS}, found {found}; check the path."
        )
    if kind == _FILES:
        return [ImageFiles(path.parent, [path.name], labels)]
    return _OPEN[kind](path, path.name)


def _open_folder(folder: pathlib.Path, labels: bool) -> list[ImageShard]:
    by_kind: dict[str, list[str]] = {}
    for name in find_files(folder):
        if kind := _kind_of(name):
            by_kind.setdefault(kind, []).append(name)
    if not by_kind:
        raise InputError(
            f"{folder}: expected files that end in {_ENDINGS}, found none in it and its folders; pass the folder that holds the "
            "images."
        )
    if len(by_kind) > 1:
        found = " and ".join(f"{len(names):,} {kind}" for kind, names in sorted(by_kind.items()))
        raise InputError(f"{folder}: expected files of one kind, found {found}; move one kind to a folder of its own.")
    ((kind, names),) = by_kind.items()
    if kind == _FILES:
        starts = range(0, len(names), FILES_OF_SHARD)
        return [ImageFiles(folder, names[start : start + FILES_OF_SHARD], labels) for start in starts]
    return [shard for name in names for shard in _OPEN[kind](folder / name, name)]


def _kind_of(name: str) -> str | None:
    return next((kind for kind, ending in _KINDS.items() if ending.search(name)), None)
