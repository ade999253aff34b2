"""AutoencoderKL: its published size, and configs that are refused. What it computes is in `test_autoencoders.py`."""

import jax
import numpy as np
import pytest
from flax import nnx

from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.config import AutoencoderKLConfig
from geovq.models.torch_tensors import shapes_of
from geovq.validation import InputError


def test_stable_diffusion_has_its_known_number_of_parameters():
    _, state = shapes_of(AutoencoderKL, AutoencoderKLConfig(), np.dtype(np.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 83_653_863


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            AutoencoderKLConfig(block_out_channels=()),
            "AutoencoderKL, a size: expected a whole number in 1..16384, found 0",
        ),
        (AutoencoderKLConfig(layers_per_block=0), "expected a whole number in 1..16384, found 0"),
        (AutoencoderKLConfig(block_out_channels=(48,)), r"norm_num_groups 32 divides, found \(48,\)"),
        (AutoencoderKLConfig(scaling_factor=float("inf")), "expected a finite scaling_factor .* found inf and 0"),
    ],
)
def test_impossible_configs_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        AutoencoderKL(config, rngs=nnx.Rngs(0))


def test_a_new_model_has_initial_weights():
    model = AutoencoderKL(AutoencoderKLConfig((2,), 1, 1, 1), rngs=nnx.Rngs(0))
    images = np.ones((1, 1, 2, 3), np.float32)
    assert model.decode(model.encode(images)).shape == images.shape
