"""TinyAutoencoder with the published weights: taesd, taesd3 and taef1; and configs that are refused."""

import numpy as np
import pytest
from flax import nnx

from geovq.decoder.adapters import from_nnx
from geovq.models.config import TinyAutoencoderConfig
from geovq.models.pretrained import read_tensors
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.validation import InputError
from tests import reference


@pytest.mark.parametrize(("name", "channels"), [("taesd", 4), ("taesd3", 16), ("taef1", 16)])
def test_published_weights_are_read_as_their_author_means_them(name, channels, autoencoders_dir):
    model = TinyAutoencoder.from_pretrained(autoencoders_dir, name)
    assert model.config == TinyAutoencoderConfig(latent_channels=channels)
    rows, columns = np.mgrid[:24, :16] / 8
    image = np.stack([np.sin(rows) ** 2, np.cos(columns) ** 2, np.sin(rows + columns) ** 2], axis=2).astype(np.float32)
    latents = np.asarray(from_nnx(model.encoder)(image[None]))[0]
    decoded = np.asarray(from_nnx(model.decoder)(latents[None]))[0]
    parts = {part: read_tensors(autoencoders_dir / f"{name}_{part}.safetensors") for part in ("encoder", "decoder")}
    assert latents.shape == (3, 2, channels)
    np.testing.assert_allclose(latents, reference.tiny_layers(parts["encoder"], image, False), atol=1e-4)
    np.testing.assert_allclose(decoded, reference.tiny_layers(parts["decoder"], latents, True), atol=1e-4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TinyAutoencoderConfig(width=0), "a size: expected a whole number in 1..16384, found 0"),
        (TinyAutoencoderConfig(num_decoder_blocks=(3, 1)), "as many resolutions"),
        (
            TinyAutoencoderConfig(num_encoder_blocks=(1, -1, 1, 1)),
            "blocks of a resolution: expected a whole number in 0..64, found -1",
        ),
        (TinyAutoencoderConfig(shift_factor=float("nan")), "a finite shift_factor, found 1 and nan"),
    ],
)
def test_impossible_configs_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        TinyAutoencoder(config, rngs=nnx.Rngs(0))


def test_a_new_model_has_initial_weights():
    model = TinyAutoencoder(TinyAutoencoderConfig(2, 3, (1, 0), (0, 1)), rngs=nnx.Rngs(0))
    images = np.ones((1, 2, 4, 3), np.float32)
    assert model.encode(images).shape == (1, 1, 2, 2)
    assert model.decode(model.encode(images)).shape == images.shape
