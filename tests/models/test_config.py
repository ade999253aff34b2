"""Sizes of models: hashable, compared by value, and there without jax."""

import dataclasses
import subprocess
import sys

import pytest

from geovq.models.config import GPTConfig, VAEConfig


def test_a_grid_has_a_token_for_every_place():
    assert GPTConfig(num_codes=5, grid=(2, 3)).length == 6
    assert GPTConfig(num_codes=5, grid=(1, 1)).length == 1


@pytest.mark.parametrize("config", [VAEConfig(), GPTConfig(5, (2, 2))])
def test_configs_are_values(config):
    """Compiled code is shared by equal ones, and nobody changes one that is in use."""
    assert dataclasses.replace(config) == config
    assert hash(dataclasses.replace(config)) == hash(config)
    assert dataclasses.replace(config, grid=(1, 3)) != config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.grid = (3, 3)


def test_heads_divide_the_width_that_is_the_default():
    config = GPTConfig(5, (2, 2))
    assert config.width % config.heads == 0


def test_sizes_are_known_without_jax():
    code = "import sys, geovq.models.config; assert not {'jax', 'flax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
