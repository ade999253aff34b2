"""Parameters as PyTorch names and lays them out, by hand; what files do with them is in `test_pretrained.py`."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.models.torch_tensors import build, shapes_of, tensors_of
from geovq.validation import InputError


class Pair(nnx.Module):
    """A convolution and a matrix in a list, and a normalization."""

    def __init__(self, width: int, *, dtype, rngs: nnx.Rngs):
        conv = nnx.Conv(2, width, (1, 3), use_bias=False, param_dtype=dtype, rngs=rngs)
        self.layers = nnx.List([conv, nnx.Linear(width, 1, param_dtype=dtype, rngs=rngs)])
        self.norm = nnx.GroupNorm(width, 1, param_dtype=dtype, rngs=rngs)


TENSORS: dict[str, np.ndarray] = {
    "first.weight": np.arange(18, dtype=np.float16).reshape(3, 2, 1, 3),
    "layers.1.weight": np.arange(3, dtype=np.float32)[None],
    "layers.1.bias": np.ones(1, np.float32),
    "norm.weight": np.full(3, 2, np.float32),
    "norm.bias": np.zeros(3, np.float32),
}
RENAMED = {"layers.0": "first"}


def test_names_and_axes_are_those_of_pytorch():
    module = build(Pair, 3, np.dtype(np.float32), TENSORS, "file", RENAMED)
    values = {path: variable.get_value() for path, variable in nnx.to_flat_state(nnx.state(module))}
    kernel = values["layers", 0, "kernel"]
    assert kernel.shape == (1, 3, 2, 3)
    assert kernel[0, 2, 1, 0] == TENSORS["first.weight"][0, 1, 0, 2]
    assert values["norm", "scale"].tolist() == [2, 2, 2]
    again = tensors_of(module, RENAMED)
    assert again.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(again[name], tensor)
        assert again[name].dtype == np.float32
        assert again[name].flags.c_contiguous


def test_shapes_that_are_kept_never_hold_values():
    build(Pair, 3, np.dtype(np.float32), TENSORS, "file", RENAMED)
    _, state = shapes_of(Pair, 3, np.dtype(np.float32))
    assert all(not isinstance(variable.get_value(), jnp.ndarray) for _, variable in nnx.to_flat_state(state))


def test_a_file_is_named_with_its_wrong_tensors():
    with pytest.raises(
        InputError, match=r"^file: expected 5 tensors .* 1 missing \(layers.0.weight .* 1 unknown \(first"
    ):
        build(Pair, 3, np.dtype(np.float32), TENSORS, "file")
