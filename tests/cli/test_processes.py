"""The program in two processes with two devices each: the same tokens and scores as in one."""

import re

import numpy as np
import pytest

from tests import several
from tests.cli.programs import geovq

pytestmark = pytest.mark.slow


def together(*words: object) -> str:
    """What the first of two processes prints."""
    ended = several.processes(2, "geovq.cli.program", *map(str, words), "--distributed")
    assert [each.returncode for each in ended] == [0, 0], ended
    assert not ended[1].stdout
    assert "2 processes, 4 devices" in ended[0].stdout
    return ended[0].stdout


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_encode_score_and_fit_as_one_does(work, tmp_path):
    rng, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for name in "abc":
        np.save(images / f"{name}.npy", rng.integers(0, 256, (3, 48, 64, 3), dtype=np.uint8))
    one = geovq("encode", work / "photos.npz", images, "--out", tmp_path / "one")
    assert one.returncode == 0, one.stderr
    together("encode", work / "photos.npz", images, "--out", tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")

    one = geovq("score", work / "photos.npz", images)
    assert one.returncode == 0, one.stderr
    numbers = re.compile(r"\d+\.\d+")
    found, expected = (
        [float(number) for line in said.splitlines()[-3:] for number in numbers.findall(line)]
        for said in (together("score", work / "photos.npz", images), one.stdout)
    )
    assert found == pytest.approx(expected, rel=1e-2)

    flags = [
        "--autoencoder",
        work / "vae",
        "--images",
        work / "photographs",
        "--num-codes",
        8,
        "--crop",
        32,
        "--crops",
        8,
    ]
    together("fit", *flags, "--out", tmp_path / "two.npz")
    assert geovq("encode", tmp_path / "two.npz", images, "--out", tmp_path / "fitted").returncode == 0
    tokens, whole = (
        np.frombuffer((tmp_path / name / "00000.bin").read_bytes(), np.uint8) for name in ("fitted", "one")
    )
    assert (tokens == whole).mean() > 0.95  # the same codes, up to rounding
