"""Small autoencoders with random weights, and their files in all layouts: what the tests of pretrained models share."""

import functools
import pathlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.config import AutoencoderKLConfig, TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.models.torch_tensors import shapes_of

Config = TinyAutoencoderConfig | AutoencoderKLConfig
Model = TinyAutoencoder | AutoencoderKL

CONFIGS: dict[str, Config] = {
    "tiny": TinyAutoencoderConfig(4, 4, (1, 1, 2), (2, 1, 1), scaling_factor=0.5, shift_factor=0.25),
    "kl": AutoencoderKLConfig((4, 8), 1, 3, 2),
    "kl, bare": AutoencoderKLConfig((4, 6, 6), 1, 2, 2, 3, 1.5, 0.06, False, False, False),
}
"""One of each kind: with and without quant convolutions, shift and attention."""

PUBLISHED = TinyAutoencoderConfig(width=4)
"""The blocks of the author's models, and few channels: the author's files have no config."""


def class_of(config: Config) -> type[Model]:
    """The model of a config."""
    return TinyAutoencoder if isinstance(config, TinyAutoencoderConfig) else AutoencoderKL


@functools.cache
def random_model(config: Config, dtype: str = "float32", seed: int = 0) -> Model:
    """A model whose every tensor is random and matters."""
    rng = np.random.default_rng(seed)
    graphdef, state = shapes_of(class_of(config), config, np.dtype(dtype))
    return nnx.merge(graphdef, jax.tree.map(lambda leaf: jnp.asarray(_draw(rng, leaf.shape), dtype), state))


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan = np.prod(shape[:-1]) if len(shape) > 1 else 4
    return rng.standard_normal(shape) / fan**0.5 + (0.3 if len(shape) == 1 else 0)


def original_names(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Tensors of TinyAutoencoder in diffusers' names, as the author names them; by encoder and decoder."""
    found: dict[str, dict[str, np.ndarray]] = {"encoder": {}, "decoder": {}}
    for name, tensor in tensors.items():
        part, _, number, rest = name.split(".", 3)
        found[part][f"{int(number) + (part == 'decoder')}.{rest}"] = tensor
    return found


def write_original(folder: pathlib.Path, name: str, tensors: Mapping[str, np.ndarray]) -> None:
    """The author's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, found in original_names(tensors).items():
        write_tensors(folder / f"{name}_{part}.safetensors", found)


def write_tensors(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """A safetensors file."""
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(t) for name, t in tensors.items()}))
