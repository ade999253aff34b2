"""Published autoencoders by their folder, of whichever kind they are."""

import json

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.autoencoders import load_autoencoder
from geovq.models.config import AutoencoderKLConfig, TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.validation import InputError

TINY = TinyAutoencoder(TinyAutoencoderConfig(4, 4, (0, 1), (1, 0)), rngs=nnx.Rngs(0))
KL = AutoencoderKL(
    AutoencoderKLConfig(latent_channels=4, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2),
    rngs=nnx.Rngs(0),
)


@pytest.mark.parametrize("model", [TINY, KL], ids=["tiny", "kl"])
@pytest.mark.parametrize("inside", ["", "vae"])
def test_config_says_which_class_it_is(model, inside, tmp_path, rng):
    model.save_pretrained(tmp_path / "model" / inside)
    found = load_autoencoder(tmp_path / "model")
    assert type(found) is type(model)
    images = rng.random((1, 16, 16, 3), np.float32)
    np.testing.assert_allclose(found.encode(images), model.encode(images), atol=1e-5)


def test_the_authors_files_are_named_without_their_ending(tmp_path, rng):
    for name in ("taesd", "taef1"):
        for part in ("encoder", "decoder"):
            save_file({"0.weight": np.zeros((1, 1, 3, 3), np.float32)}, tmp_path / f"{name}_{part}.safetensors")
    with pytest.raises(InputError, match="taef1_"):  # found, and refused for its tensors
        load_autoencoder(tmp_path / "taef1")
    with pytest.raises(InputError, match="taef1, taesd"):
        load_autoencoder(tmp_path)


def test_other_classes_are_refused(tmp_path):
    TINY.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "VQModel"}))
    with pytest.raises(InputError, match="expected a model of class AutoencoderTiny or AutoencoderKL, found 'VQModel'"):
        load_autoencoder(tmp_path)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere: expected a folder with a model's files, found none"):
        load_autoencoder(tmp_path / "nowhere")
