"""Readers of every kind of file, each with a good file of its kind."""

import functools
import gzip
import hashlib
import io
import pathlib
import struct
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax.numpy as jnp
import numpy as np
import PIL.Image
from flax import nnx
from jax.tree_util import Partial

from benchmarks.faults import corpora, records
from benchmarks.faults.reader import Reader, by_bytes, in_folder, reseal_arrays
from benchmarks.faults.spoiling import spoil_bytes, spoil_gzip, spoil_safetensors, spoil_text
from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook
from geovq.assignment.clusters import ImageClusters
from geovq.assignment.geodesic import Geodesic
from geovq.corpus.pixels import read_image
from geovq.geometry.placed_codes import CodeField
from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.autoencoders import load_autoencoder
from geovq.models.config import AutoencoderKLConfig, TinyAutoencoderConfig
from geovq.models.pretrained import CONFIG, WEIGHTS
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.storage.arrays import load_arrays
from geovq.tokenizer.checks import as_codebook
from geovq.tokenizer.file import Stored, load_tokenizer, save_tokenizer
from geovq.tokenizer.fingerprint import check_fingerprint
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from geovq.validation import InputError
from train.data import datasets
from train.run.checkpoint import Checkpoints

FINGERPRINT = {"image": np.full((1, 2, 2, 1), 0.5, np.float32), "latents": np.zeros((1, 1, 1, 2), np.float32)}
CODEBOOK = Codebook(np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.ones((1, 1, 2, 2), np.float32))
CROPS = np.random.default_rng(0).integers(20, 240, (50, 2, 4, 1), dtype=np.uint8)

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


def _tokenizer(assigner: Any) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        save_tokenizer(folder / "t.npz", CODEBOOK, assigner, (2, 2, 1), FINGERPRINT, _scaled(np.ones(2)))
        return folder / "t.npz"

    return write


def _scaled(parameters: np.ndarray) -> Partial:
    return Partial(lambda scale, z: z * scale.sum(), parameters)


def _read_tokenizer(path: pathlib.Path) -> Stored:
    found = load_tokenizer(path, _scaled(np.zeros(2)))
    assert as_codebook(found.codebook).codes.shape[-1] == found.codebook.position_metrics.shape[-1]
    check_fingerprint(FINGERPRINT, found.fingerprint, str(path), "load the VAE that the tokenizer was fitted to")
    return found


@functools.cache
def _model(kind: str) -> TinyAutoencoder | AutoencoderKL:
    if kind == "tiny":
        config = TinyAutoencoderConfig(4, 4, (1, 1, 2), (2, 1, 1), scaling_factor=0.5, shift_factor=0.25)
        return TinyAutoencoder(config, rngs=nnx.Rngs(0))
    return AutoencoderKL(AutoencoderKLConfig((4, 8), 1, 3, 2), rngs=nnx.Rngs(0))


def _weights(kind: str, spoiled: str) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        _model(kind).save_pretrained(folder)
        return folder / spoiled

    return write


def _written(name: str, content: Callable[[], bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    def write(folder: pathlib.Path) -> pathlib.Path:
        (folder / name).write_bytes(content())
        return folder / name

    return write


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind)
    return buffer.getvalue()


_IDX_SHAPES = ((5100, 28, 28), (5100,), (4, 28, 28), (4,))
"""Of training images and labels, more than the 5,000 that are held out, and of test images and labels."""


def _idx(shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">i", n) for n in shape) + bytes(np.prod(shape))


def _idx_files(folder: pathlib.Path) -> pathlib.Path:
    files = list(datasets.SOURCES["mnist"].files)
    for name, shape in zip(files, _IDX_SHAPES, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(_idx(shape), mtime=0))
    return folder / f"{files[0]}.gz"


def _read_idx(path: pathlib.Path) -> datasets.Dataset:
    """As the official files, which have other checksums."""
    source = datasets.SOURCES["mnist"]
    shas = [hashlib.sha256(_idx(shape)).hexdigest() for shape in _IDX_SHAPES]
    ours = source._replace(files=dict(zip(source.files, shas, strict=True)))
    with mock.patch.dict(datasets.SOURCES, {"mnist": ours}):
        return datasets.load("mnist", path.parent)


def _measurements(folder: pathlib.Path) -> pathlib.Path:
    _measured().save(folder / "m.npz")
    return folder / "m.npz"


@functools.cache
def _measured() -> Measured:
    return measure(_encode, _decode, CROPS, statistics="graph", num_neighbours=4, seed=3)


def _encode(images: Any) -> Any:
    """Mean and contrast of each half: (n, 1, 2, 2) latents of (n, 2, 4, 1) images."""
    rows = images.reshape(-1, 2, 2, 2).mean(axis=3)
    return jnp.stack([rows.mean(axis=1), rows[:, 0] - rows[:, 1]], axis=-1)[:, None]


def _decode(latents: Any) -> Any:
    """Each latent makes both rows of its half; squared, so that the metric is not constant."""
    mean, contrast = latents[:, 0, :, :1], latents[:, 0, :, 1:]
    rows = jnp.concatenate([mean**2 + contrast / 2, mean**2 - contrast / 2], axis=2)
    return jnp.repeat(rows.swapaxes(1, 2), 2, axis=2)[..., None]


def _image_reader(kind: str) -> Reader:
    return Reader(_written(f"i.{kind}", lambda: _picture(kind)), by_bytes(spoil_bytes), read_image, sealed=False)


READERS: dict[str, Reader] = {
    "arrays": Reader(_measurements, by_bytes(spoil_bytes), load_arrays),
    "tokenizer, geodesic": Reader(_tokenizer(Geodesic(field=FIELD)), reseal_arrays, _read_tokenizer),
    "tokenizer, amortised": Reader(_tokenizer(Amortised(clusters=CLUSTERS)), reseal_arrays, _read_tokenizer),
    "measured": Reader(_measurements, reseal_arrays, Measured.load),
    "TAESD, weights": Reader(
        _weights("tiny", WEIGHTS),
        by_bytes(spoil_safetensors),
        lambda path: load_autoencoder(path.parent),
        sealed=False,
    ),
    "TAESD, config": Reader(
        _weights("tiny", CONFIG), by_bytes(spoil_text), lambda path: load_autoencoder(path.parent), sealed=False
    ),
    "AutoencoderKL, config": Reader(
        _weights("kl", CONFIG),
        by_bytes(spoil_text),
        lambda path: AutoencoderKL.from_pretrained(path.parent),
        sealed=False,
    ),
    "IDX": Reader(_idx_files, by_bytes(spoil_gzip), _read_idx),
    **{f"{kind} image": _image_reader(kind) for kind in ("png", "jpeg", "webp")},
    **corpora.READERS,
    **records.READERS,
}
"""Files. Those of a corpus need grain."""


def _checkpoint(folder: pathlib.Path) -> pathlib.Path:
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, {"a": np.arange(12, dtype=np.float32), "b": {"c": np.ones((3, 4), np.float64)}})
    return folder / "checkpoints"


def _read_checkpoint(path: pathlib.Path) -> Any:
    import warnings

    like = {"a": np.zeros(12, np.float32), "b": {"c": np.zeros((3, 4), np.float64)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they name a damaged step, as the error does
        with Checkpoints(path) as checkpoints:
            found = checkpoints.restore(like)
    if found is None:
        raise InputError(f"{path}: expected a checkpoint, found none.")
    return found


FOLDERS: dict[str, Reader] = {
    **corpora.FOLDERS,
    "checkpoint": Reader(_checkpoint, in_folder, _read_checkpoint),
}
"""Folders of files that belong together; any of them is spoiled."""
