"""Every reader of files of strangers: what is spoiled is read as before or refused in one line, in little memory."""

import functools
import gzip
import io
import json
import pathlib
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import pytest
from jax.tree_util import Partial

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook
from geovq.assignment.clusters import ImageClusters
from geovq.assignment.geodesic import Geodesic
from geovq.corpus.pixels import read_image
from geovq.geometry.placed_codes import CodeField
from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.autoencoders import load_autoencoder
from geovq.models.pretrained import CONFIG, WEIGHTS
from geovq.storage import MOST_JSON, load_arrays, read_json, read_record, save_arrays, write_record, write_results
from geovq.tokenizer.checks import as_codebook
from geovq.tokenizer.file import load_tokenizer, save_tokenizer
from geovq.tokenizer.fingerprint import check_fingerprint
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from tests.hostile import (
    NESTED,
    refused,
    spoil_arrays,
    spoil_bytes,
    spoil_gzip,
    spoil_json,
    spoil_safetensors,
    spoil_text,
)
from tests.models.autoencoders import CONFIGS, random_model
from tests.tokenizer.test_measured import IMAGES, OPTIONS, decode, encode
from train.config.options import Config
from train.data import datasets
from train.loop.log import truncate
from train.run.folder import Run
from train.run.options_file import save_config, stored_config

FINGERPRINT = {"image": np.full((1, 2, 2, 1), 0.5, np.float32), "latents": np.zeros((1, 1, 1, 2), np.float32)}
CODEBOOK = Codebook(np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.ones((1, 1, 2, 2), np.float32))


class Reader(NamedTuple):
    """A reader of one kind of file."""

    write: Callable[[pathlib.Path], pathlib.Path]
    """Writes a good file into a folder, with what else it needs, and says which it is."""
    spoil: Callable[[np.random.Generator, pathlib.Path], None]
    read: Callable[[pathlib.Path], Any]


def by_bytes(
    spoil: Callable[[np.random.Generator, bytes], bytes],
) -> Callable[[np.random.Generator, pathlib.Path], None]:
    return lambda rng, path: void(path.write_bytes(spoil(rng, path.read_bytes())))


def void(_: Any) -> None:
    """Nothing."""


def reseal(rng: np.random.Generator, path: pathlib.Path) -> None:
    """Spoils arrays or meta of an archive, under their right checksum; or its bytes."""
    how = int(rng.integers(5))
    if how == 0:
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
        return
    arrays, meta = load_arrays(path)
    if how < 3:
        arrays = spoil_arrays(rng, arrays)
    else:
        changed = spoil_json(rng, meta)
        meta = changed if isinstance(changed, dict) else meta
    save_arrays(path, arrays, meta)


def tokenizer(assigner: Any) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        save_tokenizer(folder / "t.npz", CODEBOOK, assigner, (2, 2, 1), FINGERPRINT, scaled(np.ones(2)))
        return folder / "t.npz"

    return write


def scaled(parameters: np.ndarray) -> Partial:
    return Partial(lambda scale, z: z * scale.sum(), parameters)


def read_tokenizer(path: pathlib.Path) -> None:
    found = load_tokenizer(path, scaled(np.zeros(2)))
    assert as_codebook(found.codebook).codes.shape[-1] == found.codebook.position_metrics.shape[-1]
    check_fingerprint(FINGERPRINT, found.fingerprint, str(path), "load the VAE that the tokenizer was fitted to")


def model(name: str, spoiled: str) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        random_model(CONFIGS[name]).save_pretrained(folder)
        return folder / spoiled

    return write


def written(name: str, content: Callable[[], bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        (folder / name).write_bytes(content())
        return folder / name

    return write


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind)
    return buffer.getvalue()


def idx_files(folder: pathlib.Path) -> pathlib.Path:
    files = list(datasets.SOURCES["mnist"].files)
    for name, shape in zip(files, [(7, 28, 28), (7,), (4, 28, 28), (4,)], strict=True):
        head = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">i", n) for n in shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + bytes(np.prod(shape))))
    return folder / f"{files[0]}.gz"


def measurements(folder: pathlib.Path) -> pathlib.Path:
    measured().save(folder / "m.npz")
    return folder / "m.npz"


def results(folder: pathlib.Path) -> pathlib.Path:
    write_results(folder / "r.json", {"seeds": [1], "command": "x"}, [{"score": "psnr", "value": 1.5}])
    return folder / "r.json"


def options(folder: pathlib.Path) -> pathlib.Path:
    save_config(folder, Config())
    return folder / "config.json"


def stage(folder: pathlib.Path) -> pathlib.Path:
    Run(folder, Config()).begin("vae", ("data", "vae"), {})
    (folder / "config.json").unlink()
    return folder / "vae/stage.json"


def record(folder: pathlib.Path) -> pathlib.Path:
    write_record(folder / "r.json", {"options": {"vae": {"epochs": 3}}, "outputs": None})
    return folder / "r.json"


@functools.cache
def measured() -> Measured:
    return measure(encode, decode, IMAGES, statistics="graph", **OPTIONS)


FIELD = CodeField(
    np.zeros((5, 2), np.float32),
    np.ones((5, 2, 2), np.float32),
    np.array([0, 1, 2, 3, 0]),
    np.array([1, 1, 1, np.inf, 1], np.float32),
    num_neighbours=2,
)
CLUSTERS = ImageClusters(
    np.zeros((2, 1, 2), np.float32),
    np.zeros((2, 1, 2, 1, 2), np.float32),
    np.zeros((1, 2, 2), np.float32),
    np.zeros((1, 2, 2), np.float32),
    CODEBOOK.codes,
)


def image_reader(kind: str) -> Reader:
    return Reader(written(f"i.{kind}", lambda: picture(kind)), by_bytes(spoil_bytes), read_image)


READERS = {
    "arrays": Reader(measurements, by_bytes(spoil_bytes), load_arrays),
    "tokenizer, geodesic": Reader(tokenizer(Geodesic(field=FIELD)), reseal, read_tokenizer),
    "tokenizer, amortised": Reader(tokenizer(Amortised(clusters=CLUSTERS)), reseal, read_tokenizer),
    "measured": Reader(measurements, reseal, Measured.load),
    "TAESD, weights": Reader(
        model("tiny", WEIGHTS), by_bytes(spoil_safetensors), lambda path: load_autoencoder(path.parent)
    ),
    "TAESD, config": Reader(model("tiny", CONFIG), by_bytes(spoil_text), lambda path: load_autoencoder(path.parent)),
    "AutoencoderKL, config": Reader(
        model("kl", CONFIG), by_bytes(spoil_text), lambda path: AutoencoderKL.from_pretrained(path.parent)
    ),
    "IDX": Reader(idx_files, by_bytes(spoil_gzip), lambda path: datasets.load("mnist", path.parent)),
    "JSON": Reader(results, by_bytes(spoil_text), read_json),
    "results": Reader(results, by_bytes(spoil_text), read_record),
    "options": Reader(options, by_bytes(spoil_text), lambda path: stored_config(path.parent)),
    "stage": Reader(stage, by_bytes(spoil_text), lambda path: stored_config(path.parents[1])),
    "log": Reader(results, by_bytes(spoil_text), lambda path: truncate(path, 3)),
    "record": Reader(record, by_bytes(spoil_text), read_record),
    **{f"{kind} image": image_reader(kind) for kind in ("png", "jpeg", "webp")},
}

EVERY = pytest.mark.parametrize("name", READERS)


def fuzz(reader: Reader, folder: pathlib.Path, seeds: range) -> list[str]:
    """What the refusals say of a good file that was spoiled once for each seed."""
    path = reader.write(folder)
    good, said = path.read_bytes(), []
    for seed in seeds:
        path.write_bytes(good)
        reader.spoil(np.random.default_rng(seed), path)
        try:
            said.append(refused(lambda: reader.read(path)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    return [message for message in said if message]


@EVERY
def test_spoiled_files_are_read_or_refused(name, tmp_path):
    said = fuzz(READERS[name], tmp_path, range(20))
    assert said or name == "log", "nothing that was spoiled was refused"  # lines of a log are left out


@pytest.mark.slow
@EVERY
def test_many_spoiled_files_are_read_or_refused(name, tmp_path):
    fuzz(READERS[name], tmp_path, range(20, 520))


def npy_of(content: bytes, shape: tuple[int, ...] | None = None) -> bytes:
    """An array whose header claims a shape; without one, that of its bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape or (len(content),)}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz_claiming(shape: tuple[int, ...]) -> bytes:
    """An archive whose one array claims a shape and has 64 bytes."""
    return archive({"a.npy": npy_of(bytes(64), shape)})


def archive(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def many_times(content: bytes) -> bytes:
    """An archive whose index names one entry a thousand times."""
    one = archive({"a.npy": content})
    start = one.index(b"PK\x01\x02")
    entry, end = one[start : one.index(b"PK\x05\x06")], bytearray(one[one.index(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 1000, 1000, 1000 * len(entry))
    return one[:start] + entry * 1000 + bytes(end)


def npz_header(text: bytes) -> bytes:
    return archive({"a.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text})


def png_of(side: int) -> bytes:
    """An image that claims side x side pixels and has a few bytes."""
    import zlib

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


HEADER = 8 * b"\0"
BOMBS: dict[str, tuple[str, bytes]] = {
    "a header of 10^12 numbers": ("arrays", npz_claiming((10**12,))),
    "a header of 10^30 numbers": ("arrays", npz_claiming((10**10, 10**10, 10**10))),
    "a negative shape": ("arrays", npz_claiming((-4, -4))),
    "an unfinished header": ("arrays", npz_header(b"{'descr': '<f4', 'shape': (((")),
    "a nested header": ("arrays", npz_header(b"(" * 9000)),
    "a zip bomb": ("arrays", archive({"a.npy": npy_of(bytes(1 << 26))}, zipfile.ZIP_DEFLATED)),
    "an entry named a thousand times": ("arrays", many_times(npy_of(bytes(1 << 20)))),
    "a gzip bomb": ("IDX", gzip.compress(bytes(1 << 28), 1)),
    "an IDX header of 10^12 numbers": ("IDX", gzip.compress(struct.pack(">4I", 0x803, 10**4, 10**4, 10**4))),
    "nested brackets": ("JSON", NESTED),
    "nested objects": ("record", b'{"a":' * 200_000),
    "a number of 10^6 digits": ("JSON", b"9" * 10**6),
    "a long file": ("JSON", b" " * (MOST_JSON + 1)),
    "nested weights": ("TAESD, weights", struct.pack("<Q", 200_000) + NESTED),
    "a header as long as 10^18": ("TAESD, weights", struct.pack("<Q", 10**18) + b"{}"),
    "tensors of 10^18 bytes": (
        "TAESD, weights",
        (lambda h: struct.pack("<Q", len(h)) + h)(
            json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}).encode()
        ),
    ),
    "a picture of 10^10 pixels": ("png image", png_of(10**5)),
    "nothing": ("arrays", b""),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_take_no_memory(bomb, tmp_path):
    """Besides the file itself, whose bytes are read, nothing is unpacked or allocated."""
    name, content = BOMBS[bomb]
    path = READERS[name].write(tmp_path)
    refused(lambda: READERS[name].read(path))  # what stays in memory once it is imported and traced
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert refused(lambda: READERS[name].read(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * datasets.MOST_BYTES if name == "IDX" else peak < 4e6 + 3 * len(content)


@EVERY
def test_a_folder_or_nothing_in_the_place_of_a_file_is_named(name, tmp_path):
    path = READERS[name].write(tmp_path)
    path.unlink()
    refused(lambda: READERS[name].read(path))
    path.mkdir()
    assert refused(lambda: READERS[name].read(path)) or name == "stage"


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "p.npz")
    assert "found no regular file" in (refused(lambda: load_arrays(tmp_path / "p.npz")) or "")


@EVERY
def test_a_good_file_is_read(name, tmp_path):
    said = refused(lambda: READERS[name].read(READERS[name].write(tmp_path)))
    assert said is None or (name == "IDX" and "expected the official mnist file" in said)
