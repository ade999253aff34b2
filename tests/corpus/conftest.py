"""A tokenizer whose tokens a person can check: latents are means of 4x4 pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.base import Codebook
from geovq.assignment.nearest import Nearest
from geovq.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    """Eight codes, for images of any size."""

    def encode(images):
        n, height, width, channels = images.shape
        return images.reshape(n, height // 4, 4, width // 4, 4, channels).mean(axis=(2, 4))

    def decode(latents):
        return jnp.repeat(jnp.repeat(latents, 4, axis=1), 4, axis=2)

    codes = np.random.default_rng(0).random((1, 8, 3), np.float32)
    codebook = Codebook(codes, np.eye(3, dtype=np.float32)[None, None])
    return Tokenizer(encode, decode, codebook, assigner=Nearest(), image_shape=(8, 8, 3))
