"""Parameters of nnx modules as the tensors of PyTorch: how they are named, and in which order their axes are.

A module whose attributes are called as in PyTorch has the same names: `encoder.layers.0.kernel` is `encoder.layers.0.weight`.
A convolution is (height, width, in, out) here and (out, in, height, width) there; a matrix is (in, out) here and (out, in) there.
"""

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from geovq.validation import InputError, check_finite

_SHOWN = 4
"""Tensors that a message names of each kind."""

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}

Renamed = Mapping[str, str]
"""Beginnings of our names, and the beginnings of PyTorch's names that stand for them."""

_Model = TypeVar("_Model", bound=nnx.Module)


@functools.lru_cache(maxsize=16)
def shapes_of(model: Callable[..., nnx.Module], config: Hashable, dtype: np.dtype) -> tuple[nnx.GraphDef, nnx.State]:
    """A model that has shapes and no values: no initial weights are drawn. Kept, since tracing it takes seconds.

    Args:
        model: Its class.
        config: Its sizes.
        dtype: Of its parameters.
    """
    return nnx.split(nnx.eval_shape(lambda: model(config, dtype=dtype, rngs=nnx.Rngs(0))))


def tensors_of(module: nnx.Module, renamed: Renamed | None = None) -> dict[str, np.ndarray]:
    """All parameters by PyTorch's names, with PyTorch's axes, on the host.

    Args:
        module: The module.
        renamed: Beginnings of names that differ.
    """
    state = nnx.to_flat_state(nnx.state(module))
    return {
        _name(path, renamed or {}): np.ascontiguousarray(_to_torch(np.asarray(variable.get_value())))
        for path, variable in state
    }


def build(
    model: Callable[..., _Model],
    config: Hashable,
    dtype: np.dtype,
    tensors: Mapping[str, np.ndarray],
    where: str,
    renamed: Renamed | None = None,
) -> _Model:
    """A model with the parameters of a file.

    Args:
        model: Its class.
        config: Its sizes.
        dtype: Of its parameters, whatever the file has.
        tensors: By PyTorch's names, with PyTorch's axes.
        where: The file, for messages.
        renamed: Beginnings of names that differ.

    Raises:
        InputError: Tensors that are missing, too many or of another shape, the first few by name; integers, NaN or infinity.
    """
    graphdef, state = shapes_of(model, config, dtype)
    variables = {_name(path, renamed or {}): (path, variable) for path, variable in nnx.to_flat_state(state)}
    _check_tensors({name: _torch_shape(v.get_value().shape) for name, (_, v) in variables.items()}, tensors, where)
    filled = {}
    for name, (path, variable) in variables.items():
        check_finite(f"{where}: {name}", tensors[name].astype(np.float32))
        filled[path] = variable.replace(jnp.asarray(_from_torch(tensors[name]), dtype))
    return nnx.merge(graphdef, nnx.from_flat_state(filled))


def _check_tensors(shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray], where: str) -> None:
    common = shapes.keys() & tensors.keys()
    wrong = {
        "missing": [f"{name} {shape}" for name, shape in shapes.items() if name not in tensors],
        "unknown": [f"{name} {tensor.shape}" for name, tensor in tensors.items() if name not in shapes],
        "of another shape": [
            f"{name}: expected {shape}, found {tensors[name].shape}"
            for name, shape in shapes.items()
            if name in common and tensors[name].shape != shape
        ],
        "not of floats": [
            f"{name}: {tensors[name].dtype}"
            for name in shapes
            if name in common and not jnp.issubdtype(tensors[name].dtype, jnp.floating)
        ],
    }
    if any(wrong.values()):
        found = "; ".join(f"{len(names)} {how} ({_first(names)})" for how, names in wrong.items() if names)
        raise InputError(
            f"{where}: expected {len(shapes)} tensors of this architecture, found {found}; are these the weights of another "
            "model, or of one that is not supported?"
        )


def _first(names: list[str]) -> str:
    shown = sorted(names)[:_SHOWN]  # a safetensors file lists its tensors in no fixed order
    return ", ".join(shown) + (", …" if len(names) > _SHOWN else "")


def _name(path: tuple, renamed: Renamed) -> str:
    *modules, leaf = path
    name = ".".join([*map(str, modules), _LEAVES[leaf]])
    for ours, theirs in renamed.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _to_torch(array: np.ndarray) -> np.ndarray:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _from_torch(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
