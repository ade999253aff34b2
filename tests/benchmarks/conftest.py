"""Tiny networks and photographs in the folders that benchmarks read published ones from."""

import pathlib

import numpy as np
import pytest
from flax import nnx

from geovq.models.config import TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder


@pytest.fixture
def published(tmp_path) -> dict[str, pathlib.Path]:
    """Folders of autoencoders and of photographs, by the names of their options."""
    image = pytest.importorskip("PIL.Image")
    folders = {"autoencoders": tmp_path / "vaes", "photographs": tmp_path / "photographs"}
    for seed, name in enumerate(("taesd", "taef1")):
        config = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))
        TinyAutoencoder(config, rngs=nnx.Rngs(seed)).save_pretrained(folders["autoencoders"] / name)
    for folder, count in (("bsds500/train", 3), ("bsds500/val", 2), ("kodak", 2)):
        (folders["photographs"] / folder).mkdir(parents=True)
        for i in range(count):
            photograph = np.random.default_rng(i).integers(0, 256, (70, 80, 3), dtype=np.uint8)
            image.fromarray(photograph).save(folders["photographs"] / folder / f"{i}.png")
    return folders
