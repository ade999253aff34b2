"""Estimated bytes beside those of compiled code, and by hand where a person can count them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from geovq.batching.memory import decoder_memory, function_memory
from geovq.decoder.adapters import flat, from_nnx, single
from geovq.models import SpatialVAE, TinyAutoencoder, TinyAutoencoderConfig, VAEConfig, callables

ROWS = 256
"""So many that their bytes are most of what compiled code takes, copies of parameters among it."""

A, B = (jnp.ones(shape, jnp.float32) for shape in ((6, 2), (10, 6)))


def layers(parameters, z):
    a, b = parameters
    return b @ jnp.tanh(a @ z)


def test_two_layers_by_hand():
    memory = decoder_memory(Partial(layers, (A, B)), (2,))
    assert memory is not None
    assert memory.image == 4 * 10
    assert memory.parameters == 4 * (6 * 2 + 10 * 6)
    assert memory.forward == memory.tangent == 4 * (6 + 10)  # the tangent of tanh is written over that of its argument
    assert memory.residuals in (4 * 6, 4 * 12)  # tanh, and 1 - tanh
    assert memory.products(held=100).held == 100 + memory.residuals + memory.forward


def test_what_rows_share_counts_once():
    wide = Partial(lambda a, z: jnp.sum(jnp.tanh(a @ a.T) * z[0]), jnp.ones((50, 50)))
    memory = decoder_memory(wide, (1,))
    assert memory is not None
    assert memory.parameters == 4 * 50 * 50
    assert memory.residuals <= 4 * 50 * 50
    assert decoder_memory(lambda z: A @ z, (2,)).parameters == 4 * 12  # type: ignore[union-attr]  # closed over


def test_keys_of_random_numbers_are_parameters():
    memory = decoder_memory(Partial(lambda a, z: a[0] @ z, (A, jax.random.key(0))), (2,))
    assert memory is not None
    assert memory.parameters == 4 * 12 + 8


@pytest.mark.parametrize(
    "loop",
    [
        lambda z: jax.lax.scan(lambda c, _: (jnp.sin(jnp.outer(c, c)).sum(0), None), z, length=3)[0],
        lambda z: jax.lax.fori_loop(0, 3, lambda _, c: jnp.sin(jnp.outer(c, c)).sum(0), z),
        lambda z: jax.lax.cond(z[0] > 0, lambda c: jnp.sin(jnp.outer(c, c)).sum(0), lambda c: c, z),
        jax.checkpoint(lambda z: jnp.sin(jnp.outer(z, z)).sum(0)),
        jax.jit(lambda z: jnp.sin(jnp.outer(z, z)).sum(0)),
    ],
)
def test_inner_equations_count(loop):
    memory = function_memory(loop, (100,))
    assert memory is not None
    assert 4 * 100**2 <= memory.each <= 3 * 4 * 100**2


def test_nothing_is_known_of_what_jax_cannot_trace():
    assert decoder_memory(lambda z: np.asarray(z) @ np.ones((2, 3)), (2,)) is None
    assert function_memory(lambda z: np.asarray(z) * 2, (2,)) is None


def _compiled_bytes(function, *arguments):
    """Bytes that XLA's code takes, without its arguments."""
    found = jax.jit(function).lower(*arguments).compile().memory_analysis()
    assert found is not None
    return found.temp_size_in_bytes + found.output_size_in_bytes


def _pulled(decode, z, images):
    return jax.vmap(jax.vjp(lambda latent: flat(decode, latent), z)[1])(images)


def _pushed(decode, z, tangents):
    return jax.vmap(jax.linearize(lambda latent: flat(decode, latent), z)[1])(tangents)


@pytest.mark.parametrize(("name", "shape"), [("perceptron", (16,)), ("vae", (4, 4, 16)), ("taesd", (8, 8, 4))])
@pytest.mark.optimised
def test_estimates_are_within_a_factor_of_two_of_compiled_code(name, shape):
    if name == "perceptron":
        sizes = (16, 64, 256, 784)
        weights = [jnp.ones((b, a)) for a, b in itertools.pairwise(sizes)]

        def perceptron(weights, z):
            for weight in weights:
                z = jnp.tanh(weight @ z)
            return z

        decode = Partial(perceptron, weights)
    elif name == "vae":
        decode = single(callables(SpatialVAE(VAEConfig(), rngs=nnx.Rngs(0)))[1])
    else:
        decode = single(from_nnx(TinyAutoencoder(TinyAutoencoderConfig(), rngs=nnx.Rngs(0)).decoder))
    memory = decoder_memory(decode, shape)
    assert memory is not None
    z, many = jnp.zeros(shape), jnp.zeros((ROWS, *shape))
    images = jnp.zeros((ROWS, memory.image // 4))
    for estimate, found in (
        (ROWS * memory.forward, _compiled_bytes(lambda d, z: jax.vmap(lambda one: flat(d, one))(z), decode, many)),
        (memory.forward + ROWS * memory.tangent, _compiled_bytes(_pushed, decode, z, many)),
        (memory.products().held + ROWS * memory.cotangent, _compiled_bytes(_pulled, decode, z, images)),
    ):
        assert found / 2 <= estimate <= 2 * found, (estimate, found)
