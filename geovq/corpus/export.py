"""Tokens for other programs: one flat file of integers, as trainers of language models map it, or a Parquet file."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from geovq.corpus.token_files import smallest_dtype
from geovq.corpus.token_folder import TokenFolder
from geovq.storage.paths import as_path
from geovq.storage.records import write_json
from geovq.validation import InputError


class Stream(NamedTuple):
    """What is in a flat file, also written beside it as PATH.json."""

    dtype: str
    """Of the integers, in NumPy's words."""
    vocabulary: int
    """All integers are less than this."""
    separator: int | None
    """What stands before every image."""
    length: int


def export_stream(tokens: TokenFolder, path: str | os.PathLike, *, separator: bool = True) -> Stream:
    """Writes all tokens as one flat file of integers.

    Code k of quantizer s becomes k + s·K. Images follow each other, each row after row, the codes of a token side by side.

    Args:
        tokens: An opened folder.
        path: The file, replaced only when the new one is whole.
        separator: Whether S·K stands before every image.

    Returns:
        What is in it.

    Raises:
        InputError: Damaged tokens, or a file that cannot be written.
    """
    codes, quantizers = tokens.num_codes, tokens.num_quantizers
    vocabulary = codes * quantizers + separator
    dtype = smallest_dtype(vocabulary)
    head = np.array([codes * quantizers] * separator, dtype).tobytes()
    path = as_path("path", path)
    length = 0
    with _unfinished(path) as unfinished, unfinished.open("wb") as file:
        for image in tokens:
            flat = image.tokens.reshape(-1, quantizers).astype(dtype) + np.arange(quantizers, dtype=dtype) * dtype.type(
                codes
            )
            file.write(head + flat.tobytes())
            length += flat.size + separator
    found = Stream(dtype.str, vocabulary, codes * quantizers if separator else None, length)
    write_json(path.with_name(f"{path.name}.json"), found._asdict())
    return found


def export_parquet(tokens: TokenFolder, path: str | os.PathLike) -> None:
    """Writes a Parquet file: a row for each image, a group of rows for each shard.

    Columns: name, label (null where there is none), height and width of the grid, image_height and image_width in pixels, and
    tokens, a list of h·w·S integers.

    Args:
        tokens: An opened folder.
        path: The file, replaced only when the new one is whole.

    Raises:
        InputError: pyarrow is not installed, damaged tokens, or a file that cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"parquet: expected pyarrow to be installed, found: {error}; run pip install 'geovq[parquet]'."
        ) from error
    numbers = pa.from_numpy_dtype(tokens.header.dtype)
    label = pa.int64() if _all_numbers(tokens) else pa.string()
    sides = [(name, pa.int32()) for name in ("height", "width", "image_height", "image_width")]
    schema = pa.schema([("name", pa.string()), ("label", label), *sides, ("tokens", pa.list_(numbers))])

    def columns(number: int) -> Iterator[Any]:
        images = list(tokens.shard(number))
        yield [image.name for image in images]
        yield [image.label if label == pa.int64() or image.label is None else str(image.label) for image in images]
        for i in (0, 1):
            yield [image.tokens.shape[i] for image in images]
        for i in (0, 1):
            yield [image.size[i] for image in images]
        ends = np.cumsum([0, *(image.tokens.size for image in images)]).astype(np.int32)
        yield pa.ListArray.from_arrays(pa.array(ends), pa.array(np.asarray(tokens.stream(number)), numbers))

    with (
        _unfinished(as_path("path", path)) as unfinished,
        pyarrow.parquet.ParquetWriter(unfinished, schema) as writer,
    ):
        for number in range(tokens.num_shards):
            arrays = [
                each if isinstance(each, pa.Array) else pa.array(each, field.type)
                for each, field in zip(columns(number), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _all_numbers(tokens: TokenFolder) -> bool:
    return all(isinstance(image.label, int | None) for image in tokens)


@contextlib.contextmanager
def _unfinished(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file that takes the place of `path` once the block has ended well."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: expected to write it, found: {error.strerror or error}; free space or choose another folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
