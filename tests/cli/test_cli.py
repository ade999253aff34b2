"""The program `geovq`: a newcomer's path from photographs to tokens and back, and careless ones."""

import subprocess
import sys
import time

import numpy as np
import pytest
from flax import nnx

from geovq.corpus.token_shards import open_tokens
from geovq.models.config import TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder

image = pytest.importorskip("PIL.Image")
pytest.importorskip("grain")


def geovq(*words, **options):
    """Runs the program."""
    command = [sys.executable, "-m", "geovq.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights, photographs, and a tokenizer of them."""
    path = tmp_path_factory.mktemp("cli")
    config = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))
    for seed, name in enumerate(("vae", "other")):
        TinyAutoencoder(config, rngs=nnx.Rngs(seed)).save_pretrained(path / name)
    rng = np.random.default_rng(0)
    for i in range(6):
        (path / "photographs" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shape = (48, 64, 3) if i else (51, 70, 3)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        image.fromarray(pixels).save(path / "photographs" / "ab"[i % 2] / f"{i}.png")
    found = geovq(
        "fit", "--autoencoder", path / "vae", "--images", path / "photographs", "--out", path / "photos.npz",
        "--num-codes", 8, "--crop", 32, "--crops", 8,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert f"next: geovq encode {path / 'photos.npz'}" in found.stdout
    return path


def test_help_is_instant_and_names_all_commands():
    began = time.monotonic()
    found = geovq("--help")
    assert found.returncode == 0
    assert all(command in found.stdout for command in ("fit", "encode", "decode", "score", "info"))
    code = (
        "import sys; import geovq.cli.main; assert 'jax' not in sys.modules; assert 'numpy' not in sys.modules or True"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_newcomers_path(folder, tmp_path):
    found = geovq("encode", folder / "photos.npz", folder / "photographs", "--out", tmp_path / "tokens", "--labels")
    assert found.returncode == 0, found.stderr
    tokens = open_tokens(tmp_path / "tokens")
    assert [each.label for each in tokens] == list("aaabbb")
    assert tokens[0].tokens.shape == (7, 9)  # 51x70 pixels, padded
    again = geovq("encode", folder / "photos.npz", folder / "photographs", "--out", tmp_path / "tokens", "--labels")
    assert "nothing to do" in again.stdout
    found = geovq("decode", folder / "photos.npz", tmp_path / "tokens", "--out", tmp_path / "images")
    assert found.returncode == 0, found.stderr
    assert sorted(path.name for path in (tmp_path / "images").rglob("*.png")) == [f"{i}.png" for i in range(6)]
    found = geovq("score", folder / "photos.npz", folder / "photographs", "--at-most", 2)
    assert "no tokens: PSNR dB" in found.stdout, found.stderr
    for path in (folder / "photos.npz", tmp_path / "tokens"):
        assert "sha256" in geovq("info", path).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["encode", "photos.npz", "photographs", "--out", "tokens", "--autoencoder", "other"],
            "other: expected the autoencoder that",
        ),
        (["encode", "nowhere.npz", "photographs", "--out", "tokens"], "nowhere.npz: expected"),
        (["encode", "photos.npz", "nowhere", "--out", "tokens"], "nowhere: expected a folder of images"),
        (["decode", "photos.npz", "photographs", "--out", "images"], "expected a folder of tokens"),
        (["info", "nowhere"], "nowhere: expected"),
        (
            ["score", "photos.npz", "photographs", "--assigner", "whitened", "--perceptual", "1"],
            "perceptual: expected an assigner",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(folder, words, message):
    found = geovq(*words, cwd=folder)
    assert found.returncode == 2, found.stdout + found.stderr
    assert found.stderr.count("\n") == 1
    assert message in found.stderr
