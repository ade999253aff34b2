"""The benchmark of published autoencoders: its numbers are the known ones, and it says what is missing."""

import sys

import numpy as np
import pytest

from benchmarks import autoencoders
from benchmarks.common.harness import FOLDER, read_results
from geovq.validation import InputError

KNOWN = {"taesd": 24.18, "taesd3": 28.33, "taef1": 27.04}
"""dB; measured without this library."""


def test_results_are_the_known_numbers():
    rows = read_results(FOLDER / "autoencoders.json")["rows"]
    assert {row["autoencoder"]: row["value"] for row in rows} == pytest.approx(KNOWN, abs=0.02)
    assert all(row["n"] == autoencoders.IMAGES and row["low"] < row["value"] < row["high"] for row in rows)
    assert "| taesd3 | 16 | 28.3" in autoencoders.table(rows)


def test_crops_are_the_centres_of_all_images(tmp_path, monkeypatch):
    from PIL import Image

    with pytest.raises(InputError, match="expected the 24 Kodak images as PNG, found 0; give their folder"):
        autoencoders.centre_crops(tmp_path)
    monkeypatch.setattr(autoencoders, "IMAGES", 1)
    (tmp_path / "kodak").mkdir()
    image = np.random.default_rng(0).integers(256, size=(260, 301, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "kodak/kodim01.png")
    np.testing.assert_array_equal(autoencoders.centre_crops(tmp_path)[0], image[2:258, 22:278])
    Image.fromarray(image[:100]).save(tmp_path / "kodak/kodim01.png")
    with pytest.raises(InputError, match=r"expected at least 256x256 pixels, found \(100, 301\)"):
        autoencoders.centre_crops(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["autoencoders", "--autoencoders", str(tmp_path), "--photographs", str(tmp_path)])
    with pytest.raises(InputError, match=r"taesd_encoder.safetensors .* found models: none"):
        autoencoders.main()
