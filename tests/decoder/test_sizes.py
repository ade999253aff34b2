"""Which sizes a VAE takes is told by shapes: convolutions, resizing to one grid, fixed matrices, windows, functions of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.decoder.adapters import as_partial, from_nnx
from geovq.decoder.sizes import Sizes, check_size, find_sizes, find_stride, pad_to_stride
from geovq.models.config import VAEConfig
from geovq.models.spatial_vae import SpatialVAE
from geovq.validation import InputError


def encode(images):
    """Means of patches of 2x3 pixels."""
    n, height, width, c = images.shape
    return images.reshape(n, height // 2, 2, width // 3, 3, c).mean(axis=(2, 4))


def decode(latents):
    return jnp.repeat(jnp.repeat(latents, 2, axis=1), 3, axis=2)


def resize_encode(images):
    return jax.image.resize(images, (len(images), 2, 2, 1), "linear")


def resize_decode(latents):
    return jax.image.resize(latents, (len(latents), 4, 6, 1), "linear")


def window_encode(images):
    """Takes sides that are multiples of 4 patches alone, as attention in windows does."""
    patches = encode(images)
    n, h, w, c = patches.shape
    return patches.reshape(n, h // 2, 2, w // 2, 2, c).reshape(n, h, w, c)


def spatial_vae():
    config = VAEConfig(image_shape=(8, 8, 1), grid=(2, 2), latent_dim=2, width=4, max_width=4)
    vae = SpatialVAE(config, rngs=nnx.Rngs(0))
    return from_nnx(vae.encoder), from_nnx(vae.decoder), (8, 8, 1), (2, 2, 2)


CASES = {
    "patches": (encode, decode, (4, 6, 1), (2, 2, 1), (2, 3)),
    "one token": (encode, decode, (2, 3, 1), (1, 1, 1), (2, 3)),
    "resized": (resize_encode, resize_decode, (4, 6, 1), (2, 2, 1), None),
    "resized images": (encode, resize_decode, (4, 6, 1), (2, 2, 1), None),
    "resized grids": (resize_encode, decode, (4, 6, 1), (2, 2, 1), None),
    "matrix": (
        lambda x: (x.reshape(-1, 24) @ np.eye(24)[:, :4]).reshape(-1, 2, 2, 1),
        decode,
        (4, 6, 1),
        (2, 2, 1),
        None,
    ),
    "numpy": (lambda x: np.asarray(encode(np.asarray(x))), decode, (4, 6, 1), (2, 2, 1), None),
    "not divided": (resize_encode, resize_decode, (5, 6, 1), (2, 2, 1), None),
    "spatial vae": (*spatial_vae(), None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_stride_of_convolutional_functions_is_found(case):
    first, second, image_shape, latent_shape, stride = CASES[case]
    assert find_stride(first, second, image_shape, latent_shape) == stride


def test_metrics_of_positions_fix_the_size():
    first, second = as_partial(encode), as_partial(decode)
    assert find_sizes(first, second, (4, 6, 1), (2, 2), 1) == Sizes((4, 6, 1), (2, 2))
    found = find_sizes(first, second, (4, 6, 1), (1, 1), 1)
    assert found == Sizes((4, 6, 1), (2, 2), (2, 3))
    assert found.only_grid is None
    assert (found.grid_of((8, 3)), found.image_of((4, 1))) == ((4, 1), (8, 3, 1))


def test_grids_are_found_where_jax_cannot_trace():
    numpy_encode = as_partial(lambda x: np.asarray(encode(np.asarray(x))))
    found = find_sizes(numpy_encode, as_partial(decode), (4, 6, 1), (1, 1), 1)
    assert found == Sizes((4, 6, 1), (2, 2))
    assert (found.only_grid, found.grid_of((4, 6)), found.image_of((2, 2))) == ((2, 2), (2, 2), (4, 6, 1))
    failing = as_partial(lambda x: x @ np.ones(7))
    assert find_sizes(failing, as_partial(decode), (4, 6, 1), (1, 1), 1) == Sizes((4, 6, 1), (1, 1))


def test_sizes_that_a_network_does_not_take_are_refused():
    sizes = Sizes((4, 6, 1), (2, 2), (2, 3))
    check_size(as_partial(window_encode), as_partial(decode), sizes, (8, 6, 1), 1)
    message = r"found 6x6, for which encode gives TypeError.*try multiples of 4x6"
    with pytest.raises(InputError, match=message):
        check_size(as_partial(window_encode), as_partial(decode), sizes, (6, 6, 1), 1)
    with pytest.raises(InputError, match=r"found 6x6, for which decode gives shape \(1, 4, 6, 1\) instead of shape"):
        check_size(as_partial(encode), as_partial(resize_decode), sizes, (6, 6, 1), 1)


def test_padding_repeats_the_last_rows_and_columns():
    images = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    assert pad_to_stride(images, (2, 3)) is images
    found = pad_to_stride(images, (3, 2))[0, ..., 0]
    np.testing.assert_array_equal(found, [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5]])
    assert found.dtype == np.uint8
