"""Encoder and decoder as functions of any number of images, here exact inverses of each other; and pairs that do not fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.batching.plan import Plan
from geovq.decoder import autoencoder
from geovq.decoder.autoencoder import check_autoencoder, decode_latents, encode_images
from geovq.validation import InputError


def encode(images):
    """Pairs of pixels in a row are the two numbers of a latent: (n, 2, 4, 1) -> (n, 2, 2, 2)."""
    return 4 * images.reshape(-1, 2, 2, 2) - 2


def decode(latents):
    return (latents.reshape(-1, 2, 4, 1) + 2) / 4


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.uniform(size=(11, 2, 4, 1)).astype(np.float32)


def test_latents_by_hand():
    images = np.array([0, 0.25, 0.5, 1, 0, 0, 1, 1], np.float32).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(encode_images(encode, images), [[[[-2, -1], [0, 2]], [[-2, -2], [2, 2]]]])


@pytest.mark.parametrize("n", [1, 4, 5, 11])
def test_any_number_of_images_goes_through_in_batches_of_one_size(n, images, monkeypatch):
    monkeypatch.setattr(autoencoder, "BATCH", 4)
    sizes = set()

    def counted(function):
        def call(batch):
            if isinstance(batch, np.ndarray):  # not while its memory is estimated
                sizes.add(len(batch))
            return function(batch)

        return call

    latents = encode_images(counted(encode), images[:n])
    np.testing.assert_allclose(latents, encode(images[:n]), rtol=1e-6)
    np.testing.assert_allclose(decode_latents(counted(decode), latents), images[:n], atol=1e-6)
    assert sizes == {min(n, 4)}


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(("memory", "wanted"), [(1 << 20, 9), (12 << 10, 3), (4 << 10, 1)])
def test_memory_bounds_a_batch(traced, memory, wanted, rng, monkeypatch):
    monkeypatch.setattr(autoencoder, "_UNTRACED", 108)
    images = rng.uniform(size=(9, 4, 8, 3)).astype(np.float32)
    sizes = []

    def pool(x):
        if isinstance(x, np.ndarray):  # not while its memory is estimated
            sizes.append(len(x))
        elif not traced:
            raise TypeError("expected an array of NumPy")
        return jnp.tile(x, 8)[..., :1].reshape(len(x), 2, 2, 4, 2, 1).mean(axis=(2, 4))

    latents = encode_images(pool, images, plan=Plan(memory=memory))
    assert set(sizes) == {wanted}
    np.testing.assert_allclose(latents, encode_images(pool, images), rtol=1e-6)


def test_an_image_that_does_not_fit_is_refused():
    images = np.zeros((2, 4, 8, 3), np.float32)
    for call in (encode_images, decode_latents):
        with pytest.raises(
            InputError, match=r"expected at least 4\S* KiB for a batch of one row \(4, 8, 3\), found 100 bytes"
        ):
            call(lambda x: jnp.tile(x, 11), images, plan=Plan(memory=100))


def test_decoded_intensities_are_clipped():
    latents = np.array([-9, -2, 0, 2, 9, 0, 0, 0], np.float32).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(decode_latents(decode, latents).ravel(), [0, 0, 0.5, 1, 1, 0.5, 0.5, 0.5])


def test_latents_without_a_grid_are_refused(images):
    with pytest.raises(InputError, match=r"encode: expected latents \(n, h, w, d\), found \(11, 8\)"):
        encode_images(lambda x: x.reshape(-1, 8), images)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad, images):
    with pytest.raises(InputError, match=r"latents: expected finite values, found 88 NaN or infinite"):
        encode_images(lambda x: encode(x) + jnp.float32(bad), images)
    with pytest.raises(InputError, match=r"decoded images: expected finite values, found 88 NaN or infinite"):
        decode_latents(lambda z: decode(z) + jnp.float32(bad), encode(images))


def test_a_pair_that_fits_is_accepted(images):
    for n in (1, 2, 11):
        check_autoencoder(encode, decode, images[:n])


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (encode, lambda z: decode(z)[:, :, :2]),
        (encode, lambda z: 255 * decode(z)),
        (encode, lambda z: decode(z) * np.nan),
        (encode, lambda z: np.asarray(decode(np.asarray(z)))),
        (lambda x: encode(x).reshape(-1, 8), decode),
        (lambda x: encode(x) - encode(x).mean(), decode),
        (lambda x: x @ np.ones(7), decode),
    ],
)
def test_pairs_that_do_not_fit_are_refused(encoder, decoder, images):
    with pytest.raises(InputError, match="expected"):
        check_autoencoder(encoder, decoder, images)
