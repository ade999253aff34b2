"""Weights, photographs, and a tokenizer of them, for the tests of the program."""

import numpy as np
import pytest
from flax import nnx

from geovq.models.config import TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from tests.cli.programs import geovq
from tests.corpus.sources import write_folder

CONFIG = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A folder with vae and other, six photographs in two folders, and photos.npz."""
    pytest.importorskip("grain")
    path = tmp_path_factory.mktemp("cli")
    for seed, name in enumerate(("vae", "other")):
        TinyAutoencoder(CONFIG, rngs=nnx.Rngs(seed)).save_pretrained(path / name)
    rng = np.random.default_rng(0)
    shapes = [(51, 70, 3), *[(48, 64, 3)] * 5]
    images = {f"{'ab'[i % 2]}/{i}.png": rng.integers(0, 256, shape, dtype=np.uint8) for i, shape in enumerate(shapes)}
    write_folder(path / "photographs", images)
    found = geovq(
        "fit",
        *("--autoencoder", path / "vae", "--images", path / "photographs", "--out", path / "photos.npz"),
        *("--num-codes", 8, "--crop", 32, "--crops", 8),
    )
    assert found.returncode == 0, found.stderr
    assert f"next: geovq encode {path / 'photos.npz'} {path / 'photographs'} --out tokens" in found.stdout
    return path
