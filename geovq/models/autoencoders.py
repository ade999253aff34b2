"""A published autoencoder by its folder, of whichever kind it is."""

import os

import jax.numpy as jnp
from jax.typing import DTypeLike

from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.pretrained import CONFIG, find_folder, find_model
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.storage.paths import as_path
from geovq.storage.records import read_json
from geovq.validation import InputError

_CLASSES: dict[str, type[TinyAutoencoder] | type[AutoencoderKL]] = {
    "AutoencoderTiny": TinyAutoencoder,
    "AutoencoderKL": AutoencoderKL,
}
"""By the class that config.json names."""


def load_autoencoder(
    path_or_repository: str | os.PathLike, *, dtype: DTypeLike = jnp.float32
) -> TinyAutoencoder | AutoencoderKL:
    """Reads published weights of any autoencoder that this package has.

    Args:
        path_or_repository: A folder that diffusers wrote; or the author's files of a tiny autoencoder without their ending, such
            as weights/taesd for weights/taesd_encoder.safetensors and weights/taesd_decoder.safetensors; or, if huggingface_hub
            is installed, a repository OWNER/NAME.
        dtype: Of parameters, arithmetic and results, whatever the file has.

    Returns:
        The model; its `encode` and `decode` are what `Tokenizer` takes.

    Raises:
        InputError: Missing, damaged or ambiguous files, another class of model, or tensors of another model.
    """
    path = as_path("path_or_repository", path_or_repository)
    if not path.exists() and path.parent.is_dir() and any(path.parent.glob(f"{path.name}_*coder.safetensors")):
        return TinyAutoencoder.from_pretrained(path.parent, path.name, dtype=dtype)
    folder = find_folder(path_or_repository, None, ("*_encoder.safetensors", "*_decoder.safetensors"))
    model = find_model(folder)
    if model is None:
        pairs = sorted(file.name.removesuffix("_decoder.safetensors") for file in folder.glob("*_decoder.safetensors"))
        if len(pairs) > 1:
            raise InputError(
                f"{folder}: expected one autoencoder, found {', '.join(pairs)}; give {folder / pairs[0]}, say."
            )
        return TinyAutoencoder.from_pretrained(folder, dtype=dtype)
    values = read_json(model / CONFIG)
    name = values.get("_class_name") if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in _CLASSES:
        raise InputError(
            f"{model / CONFIG}: expected a model of class {' or '.join(_CLASSES)}, found {name!r}; read it with PyTorch, and use "
            "geovq.from_torch."
        )
    return _CLASSES[name].from_pretrained(model, dtype=dtype)
