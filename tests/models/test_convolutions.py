"""Convolutions as PyTorch pads them, and nearest upsampling."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.models.convolutions import check_dtype, convolution, enlarge_twice
from geovq.validation import InputError
from tests import reference


@pytest.mark.parametrize(
    ("taps", "stride", "padding", "zeros"),
    [(3, 1, None, (1, 1)), (3, 2, None, (1, 1)), (3, 2, (0, 1), (0, 1)), (1, 1, None, (0, 0))],
)
def test_convolutions_are_those_of_pytorch(taps, stride, padding, zeros, rng):
    layer = convolution(2, 3, taps=taps, stride=stride, padding=padding, dtype=jnp.float32, rngs=nnx.Rngs(0))
    image = rng.random((1, 6, 4, 2), np.float32)
    kernel = np.asarray(layer.kernel.get_value()).transpose(3, 2, 0, 1)
    bias = np.asarray(layer.bias.get_value()) if layer.bias is not None else None
    np.testing.assert_allclose(layer(image)[0], reference.convolve(image[0], kernel, bias, stride, *zeros), atol=1e-6)


def test_pixels_become_blocks(rng):
    image = rng.random((1, 2, 3, 2), np.float32)
    np.testing.assert_array_equal(enlarge_twice(jnp.asarray(image))[0], reference.repeat_pixels(image[0]))


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (np.int32, "dtype: expected float32, bfloat16, float16 or float64, found int32"),
        ("halves", "found 'halves'"),
        (np.float64, "expected double precision to be on"),
    ],
)
def test_other_dtypes_are_refused(dtype, message):
    with pytest.raises(InputError, match=message):
        check_dtype(dtype)
