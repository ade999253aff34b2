"""Shards that are array_record files, whose records are image files."""

import functools
import pathlib
from typing import Any

from geovq.corpus.image_files import decode_record
from geovq.corpus.records import HEAD, ImageShard, Record, import_grain
from geovq.validation import InputError, refusing


class ArrayRecord(ImageShard):
    """The images of an array_record file."""

    block = 1

    def __init__(self, path: pathlib.Path, name: str):
        """Opens nothing.

        Args:
            path: The file.
            name: What its images are called, before a slash and their number.
        """
        self.name, self._path = name, path

    @functools.cached_property
    def _source(self) -> Any:
        return import_grain().sources.ArrayRecordDataSource(str(self._path))

    def __len__(self) -> int:
        """Records."""
        return len(self._source)

    def read(self, start: int, stop: int) -> list[Record]:
        """Reads and decodes them."""
        return [self._read(i) for i in range(start, stop)]

    def identity(self) -> bytes:
        """The file's size and first bytes."""
        with self._path.open("rb") as file:
            return f"{self._path.stat().st_size}".encode() + file.read(HEAD)

    def _read(self, number: int) -> Record:
        name = f"{self.name}/{number:09}"
        try:
            with refusing(name, "a whole record", "write the file again"):
                data = self._source[number]
        except InputError as error:
            return Record(name, None, None, str(error))
        return decode_record(name, data, None)


def record_shards(path: pathlib.Path, name: str) -> list[ImageShard]:
    """The one shard of a file, see `ArrayRecord`.

    Raises:
        InputError: It is no array_record file, or grain is not installed.
    """
    shard = ArrayRecord(path, name)
    with refusing(str(path), "an array_record file", "write the file again"):
        count = len(shard)
    if not count:
        raise InputError(f"{path}: expected records, found none; check the file.")
    return [shard]
