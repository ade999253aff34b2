"""A tokenizer with two codes a token."""

import numpy as np
import pytest
from flax import nnx

from geovq.assignment.base import Codebook
from geovq.assignment.nearest import Nearest
from geovq.decoder.adapters import from_nnx
from geovq.models.config import TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.tokenizer.tokenizer import Tokenizer

CONFIG = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))


@pytest.fixture(scope="session")
def tokenizer():
    vae = TinyAutoencoder(CONFIG, rngs=nnx.Rngs(0))
    encode, decode = from_nnx(vae, "encode"), from_nnx(vae, "decode")
    codes = np.random.default_rng(0).normal(size=(2, 12, 4)).astype(np.float32)
    codebook = Codebook(codes, np.eye(4, dtype=np.float32)[None, None])
    return Tokenizer(encode, decode, codebook, assigner=Nearest(), image_shape=(32, 32, 3))
