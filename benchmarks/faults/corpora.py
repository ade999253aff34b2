"""Readers of corpora, and of their tokens on disk, each with a good one. They need grain."""

import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.faults.reader import Reader, by_bytes, in_folder, reseal_record
from benchmarks.faults.spoiling import spoil_bytes, spoil_json
from geovq.corpus.records import read_records
from geovq.corpus.sources import open_images
from geovq.corpus.token_files import Header
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import INDEX, Shard, begin, finish, shard_path, write_shard
from geovq.storage.records import read_record, write_record
from geovq.validation import InputError


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _corpus(kind: str) -> Callable[[pathlib.Path], pathlib.Path]:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)

    def write(folder: pathlib.Path) -> pathlib.Path:
        path = folder / f"c.{kind.split()[-1]}"
        if kind == "npy":
            np.save(path, pixels)
        elif kind == "tar":
            with tarfile.open(path, "w") as file:
                for i, image in enumerate(pixels):
                    member = tarfile.TarInfo(f"{i}.png")
                    member.size = len(_png(image))
                    file.addfile(member, io.BytesIO(_png(image)))
        elif kind == "array_record":
            from array_record.python import array_record_module

            writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
            for image in pixels:
                writer.write(_png(image))
            writer.close()
        else:
            save = np.savez_compressed if kind == "packed npz" else np.savez
            save(path, images=pixels, labels=np.arange(3))
        return path

    return write


def _read_images(path: pathlib.Path) -> list[Any]:
    """All images; one that cannot be read is refused here as `geovq encode` names it."""
    found = [record for shard in open_images(path) for record in read_records(shard)]
    for record in found:
        if record.image is None:
            raise InputError(record.error)
    return found


def _reader(kind: str) -> Reader:
    return Reader(_corpus(kind), by_bytes(spoil_bytes), _read_images, sealed=False)


def _tokens(folder: pathlib.Path) -> pathlib.Path:
    header = Header("tokenizer", "Whitened()", 300, 1, "images", 2)
    path, rng = folder / "tokens", np.random.default_rng(2)
    begin(path, header)
    for number in range(2):
        grids = [rng.integers(0, 300, (2, 3)).astype(np.int32) for _ in range(2)]
        shard = Shard([f"{number}a.png", f"{number}b.png"], grids, [(16, 24)] * 2, ["a", "b"], [])
        write_shard(path, number, header, shard)
    finish(path)
    return path


def _read_tokens(path: pathlib.Path) -> list[Any]:
    found = open_tokens(path)
    found.verify()
    return [found.header, list(found)]


def _reseal_names(rng: np.random.Generator, path: pathlib.Path) -> bool:
    """Spoils the JSON of the first shard, and writes its checksum into the index; in one case of five, spoils its bytes."""
    if rng.integers(5) == 0:
        return by_bytes(spoil_bytes)(rng, path)
    data = json.dumps(spoil_json(rng, json.loads(path.read_bytes()))).encode()
    path.write_bytes(data)
    _name_in_index(path, data)
    return True


def _name_in_index(path: pathlib.Path, data: bytes) -> None:
    """Writes the checksum of the first shard's JSON into the index."""
    index = read_record(path.parent / INDEX)
    index["shards"][0]["sha256_of_names"] = hashlib.sha256(data).hexdigest()
    write_record(path.parent / INDEX, index)


READERS: dict[str, Reader] = {
    **{f"{kind} of images": _reader(kind) for kind in ("npy", "npz", "packed npz", "tar", "array_record")},
    "index of tokens": Reader(
        lambda folder: _tokens(folder) / INDEX, reseal_record, lambda path: _read_tokens(path.parent)
    ),
    "names of tokens": Reader(
        lambda folder: shard_path(_tokens(folder), 0), _reseal_names, lambda path: _read_tokens(path.parent)
    ),
}

FOLDERS: dict[str, Reader] = {"tokens": Reader(_tokens, in_folder, _read_tokens)}
