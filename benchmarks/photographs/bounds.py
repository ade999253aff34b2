"""What continuous latents reach: as the encoder gives them, and optimised against each image by its squared error."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from geovq.decoder.adapters import as_partial
from geovq.decoder.autoencoder import decode_latents, encode_images

LEARNING_RATE = 0.03
"""Of Adam, in latent units; it falls to 0 by a cosine."""


def encoded(encode: Callable, decode: Callable, image: Float[np.ndarray, "1 H W 3"]) -> Float[np.ndarray, "1 H W 3"]:
    """The autoencoder without quantization."""
    return decode_latents(decode, encode_images(encode, image))


def optimised(
    encode: Callable, decode: Callable, image: Float[np.ndarray, "1 H W 3"], *, steps: int
) -> Float[np.ndarray, "1 H W 3"]:
    """The image whose latents went so many gradient steps from where the encoder puts them: which tokens can be compared with.

    Args:
        encode: Images (n, H, W, 3) to latents (n, h, w, d).
        decode: Latents to images.
        image: One image in [0, 1].
        steps: Gradient steps.
    """
    decode, latents = as_partial(decode, "decode"), jnp.asarray(encode_images(encode, image))
    adam = _adam(steps)
    state = adam.init(latents)
    for _ in range(steps):  # a loop of Python: reverse mode is slow in a compiled loop on a CPU
        latents, state = _step(adam, decode, latents, state, image)
    return decode_latents(decode, np.asarray(latents))


@functools.cache
def _adam(steps: int) -> optax.GradientTransformation:
    """One for all images, so that a step compiles once."""
    return optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))


@functools.partial(jax.jit, static_argnums=0)
def _step(
    adam: optax.GradientTransformation,
    decode: Callable,
    latents: Float[Array, "1 h w d"],
    state: optax.OptState,
    image: Array,
) -> tuple[Float[Array, "1 h w d"], optax.OptState]:
    gradient = jax.grad(lambda z: jnp.sum((decode(z) - image) ** 2))(latents)
    updates, state = adam.update(gradient, state)
    return optax.apply_updates(latents, updates), state
