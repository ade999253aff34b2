"""The benchmark of published autoencoders: its crops, and what it says where files are missing."""

import sys

import numpy as np
import pytest

from benchmarks import autoencoders
from geovq.validation import InputError


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
