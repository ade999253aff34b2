"""Files of pretrained models: where they are, what config.json says, and tensors in safetensors. Nothing is unpickled."""

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np

from geovq.storage.files import reading, write_bytes
from geovq.storage.paths import as_path
from geovq.storage.records import read_json
from geovq.validation import InputError, check_whole

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SUBFOLDER = "vae"
"""Where a pipeline keeps its autoencoder."""

_VARIANTS = "diffusion_pytorch_model.*.safetensors"
"""Weights in half precision, or without averaging."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_RESOLUTIONS = 8
"""Resolutions of an autoencoder at most."""

_LARGEST = 1e30
"""What the scale of latents is at most, so that it is a number of float32."""

_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def find_folder(source: str | os.PathLike, name: str | None = None, others: Sequence[str] = ()) -> pathlib.Path:
    """The folder of a model: the given one, or a downloaded repository.

    Args:
        source: A folder, or a repository OWNER/NAME.
        name: A subfolder that is downloaded instead of the repository's own folder and its subfolder `vae`.
        others: Patterns of other files that are downloaded.

    Raises:
        InputError: No such folder, and no repository of that name, or none that can be downloaded.
    """
    folder = as_path("source", source)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InputError(f"{folder}: expected a folder, found a file; give the folder that has it.")
    if not isinstance(source, str) or not _REPOSITORY.fullmatch(source):
        raise InputError(f"{folder}: expected a folder with a model's files, found none; check the path.")
    return _download(source, name, others)


def _download(repository: str, name: str | None, others: Sequence[str]) -> pathlib.Path:
    """A repository's files, without what is not needed: weights in half precision only if there are no others."""
    try:
        import huggingface_hub  # late: it is optional
    except ModuleNotFoundError as error:
        raise InputError(
            f"{repository}: expected a folder with a model's files, found none; for a repository of that name, "
            f"pip install huggingface_hub, or download {CONFIG} and {WEIGHTS} into a folder and give that."
        ) from error
    wanted = [name] if name else [".", SUBFOLDER]
    folder = pathlib.Path()
    for weights in (WEIGHTS, _VARIANTS):
        patterns = [str(pathlib.PurePosixPath(inside, file)) for inside in wanted for file in (CONFIG, weights)]
        try:
            folder = pathlib.Path(huggingface_hub.snapshot_download(repository, allow_patterns=[*patterns, *others]))
        except Exception as error:  # the package has many: no network, no such repository, no right to it
            raise InputError(
                f"{repository}: expected a folder or a repository that can be downloaded, found "
                f"{type(error).__name__}: {error}; download its files into a folder and give that."
            ) from error
        if _has_any(folder, [*patterns, *others]):
            break
    return folder


def _has_any(folder: pathlib.Path, patterns: Sequence[str]) -> bool:
    """Whether the folder has weights of one of the patterns. A snapshot may hold more files than were asked for."""
    paths = [folder / pattern for pattern in patterns if pattern.endswith(".safetensors")]
    return any(any(path.parent.glob(path.name)) for path in paths)


def find_model(folder: pathlib.Path, name: str | None = None) -> pathlib.Path | None:
    """The folder with config.json: the subfolder of that name; without a name, the folder itself or its subfolder `vae`."""
    folders = [folder, folder / SUBFOLDER] if name is None else [folder / name]
    return next((found for found in folders if (found / CONFIG).is_file()), None)


def model_names(folder: pathlib.Path) -> list[str]:
    """Subfolders with a config.json."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))


def weights_file(folder: pathlib.Path) -> pathlib.Path:
    """The weights beside a config.json.

    Raises:
        InputError: None, or several in half precision and no others.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    variants = sorted(folder.glob(_VARIANTS))
    if len(variants) == 1:
        return variants[0]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    found = ", ".join([path.name for path in variants] + pickles) or "none"
    remedy = "save the model with safe_serialization=True, for pickles are not read" if pickles else "keep one of them"
    raise InputError(f"{folder}: expected {WEIGHTS}, found {found}; {remedy if found != 'none' else 'add it'}.")


def read_tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file, as they are stored.

    Raises:
        InputError: The file is missing, truncated, damaged or of another kind.
    """
    import safetensors  # late: nothing else needs it

    with reading(path, "a file in safetensors format with tensors of numbers", "download it again") as file:
        found = safetensors.deserialize(file.read())
        return {name: np.frombuffer(t["data"], _DTYPES[t["dtype"]]).reshape(t["shape"]) for name, t in found}


def write_model(
    folder: str | os.PathLike, class_name: str, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Writes a model as diffusers does: first the weights, then config.json, without which they are no model.

    Args:
        folder: Where the two files go; it is made.
        class_name: The model's class in diffusers.
        config: What config.json says.
        tensors: Weights by name.

    Raises:
        InputError: They cannot be written.
    """
    import safetensors.numpy  # late: nothing else needs it

    folder = pathlib.Path(folder)
    write_bytes(folder / WEIGHTS, safetensors.numpy.save(dict(tensors), metadata={"format": "pt"}))
    text = json.dumps({"_class_name": class_name, **config}, indent=2, sort_keys=True, allow_nan=False)
    write_bytes(folder / CONFIG, f"{text}\n".encode())


class ConfigFile:
    """A config.json, whose values are checked as they are read."""

    def __init__(self, path: pathlib.Path, class_name: str):
        """Reads the file.

        Args:
            path: The file.
            class_name: The class that it has to name, if it names one.

        Raises:
            InputError: A file that is not a JSON object, or one of another class.
        """
        values = read_json(path)
        if not isinstance(values, dict):
            raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}; restore it.")
        self._path, self._values = path, values
        found = values.get("_class_name", class_name)
        if found != class_name:
            self.refuse("_class_name", class_name, found, "use the class of geovq.models for it, if there is one")

    def refuse(self, key: str, expected: str, found: object, remedy: str = "no such model is supported") -> NoReturn:
        """Says that a value is not what was expected.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{self._path}: {key}: expected {expected}, found {found!r}; {remedy}.")

    def only(self, key: str, value: object) -> None:
        """Checks that a key has the one value that is supported; it may be missing or null."""
        if (found := self._values.get(key)) is not None and found != value:
            self.refuse(key, repr(value), found)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 0; without a default the key has to be there."""
        value = self._value(key, default)
        check_whole(f"{self._path}: {key}", value, 0, remedy="restore the file")
        return value

    def wholes(self, key: str) -> tuple[int, ...]:
        """Whole numbers of at least 0, one for each resolution."""
        values = self._value(key, None)
        if not isinstance(values, list) or not 1 <= len(values) <= _RESOLUTIONS:
            self.refuse(key, f"a list of 1 to {_RESOLUTIONS} whole numbers", values, "restore the file")
        for value in values:
            check_whole(f"{self._path}: {key}", value, 0, remedy="restore the file")
        return tuple(values)

    def number(self, key: str, default: float) -> float:
        """A number; the default where the key is missing or null."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
            self.refuse(key, f"a number of at most {_LARGEST:g}", value, "restore the file")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; the default where the key is missing or null."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "true or false", value, "restore the file")
        return value

    def image_channels(self) -> int:
        """Channels of images, which are as many on both sides."""
        channels, out = self.whole("in_channels", 3), self.whole("out_channels", 3)
        if channels != out:
            self.refuse("out_channels", f"as many as in_channels, {channels}", out)
        return channels

    def _value(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is None and default is None:
            self.refuse(key, "a value", None if key in self._values else "no such key", "restore the file")
        return default if value is None else value
