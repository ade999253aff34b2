"""Attention in blocks compared with the slow truth, and what rotations of grids are for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.models import attention as module
from geovq.models.attention import attend_to_cache, attention, rotary_angles, rotate, self_attention
from tests import reference


@pytest.fixture
def qkv(rng):
    return tuple(jnp.asarray(rng.standard_normal((2, 37, 3, 4)), jnp.float32) for _ in range(3))


def slow(q, k, v):
    """Query after query, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    found = np.zeros_like(q)
    for n, i, head in np.ndindex(*q.shape[:3]):
        weights = np.exp(k[n, : i + 1, head] @ q[n, i, head] / np.sqrt(q.shape[3]))
        found[n, i, head] = weights @ v[n, : i + 1, head] / weights.sum()
    return found


@pytest.mark.parametrize(("block", "weights"), [(8, 1), (5, 1 << 12), (37, 1), (64, 1)])
def test_blocks_of_queries_give_what_all_at_once_give(monkeypatch, qkv, block, weights):
    np.testing.assert_allclose(attention(*qkv), slow(*qkv), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(module, "DENSE", 0)
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(module, "_WEIGHTS", weights)
    np.testing.assert_allclose(self_attention(*qkv), slow(*qkv), rtol=1e-4, atol=1e-5)
    if weights > 1:  # several heads at once, as on an accelerator; 6 heads are not divisible by 4
        monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
        np.testing.assert_allclose(self_attention(*qkv), slow(*qkv), rtol=1e-4, atol=1e-5)


def test_gradients_of_blocks_are_those_of_all_at_once(monkeypatch, qkv):
    def gradients(attend):
        return jax.grad(lambda q, k, v: jnp.sin(attend(q, k, v)).sum(), argnums=(0, 1, 2))(*qkv)

    wanted = gradients(attention)
    monkeypatch.setattr(module, "DENSE", 0)
    monkeypatch.setattr(module, "_BLOCK", 8)
    for found, exact in zip(gradients(self_attention), wanted, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_memory_of_a_gradient_does_not_hold_the_weights_of_all_heads():
    shape = jax.ShapeDtypeStruct((4, 1024, 8, 8), jnp.float32)

    def bytes_of(attend):
        gradient = jax.jit(jax.grad(lambda q, k, v: attend(q, k, v).sum(), argnums=(0, 1, 2)))
        memory: Any = gradient.lower(shape, shape, shape).compile().memory_analysis()
        return memory.temp_size_in_bytes

    weights = 4 * 8 * 1024**2 * 4
    assert bytes_of(attention) > weights
    assert bytes_of(self_attention) < weights / 4


@pytest.mark.parametrize("position", [0, 20, 36])
def test_a_cached_position_attends_as_the_sequence_does(qkv, position):
    q, k, v = qkv
    keys, values = (jnp.moveaxis(x, 1, 3).at[..., position + 1 :].set(1e3) for x in (k, v))  # later ones are not read
    found = attend_to_cache(q[:, position : position + 1], keys, values, position)
    np.testing.assert_allclose(found[:, 0], slow(*qkv)[:, position], rtol=1e-4, atol=1e-5)


def test_rotations_are_complex_turns(rng):
    x = rng.standard_normal((1, 6, 2, 8)).astype(np.float32)
    found = rotate(jnp.asarray(x), rotary_angles((2, 3), 8))
    for i, head in np.ndindex(6, 2):
        np.testing.assert_allclose(
            found[0, i, head], reference.rotated(np.float64(x[0, i, head]), *divmod(i, 3)), rtol=1e-5, atol=1e-6
        )
    half = rotate(jnp.asarray(x, jnp.bfloat16), rotary_angles((2, 3), 8))
    assert half.dtype == jnp.bfloat16


def test_products_depend_on_differences_of_rows_and_columns(rng):
    q, k = rng.standard_normal((2, 8))
    angles = rotary_angles((5, 5), 8)

    def product(one, other):
        rotated = [
            rotate(jnp.asarray(x, jnp.float32)[None, None, None], angles[5 * row + column][None])[0, 0, 0]
            for x, (row, column) in ((q, one), (k, other))
        ]
        return float(rotated[0] @ rotated[1])

    assert product((1, 2), (3, 1)) == pytest.approx(product((2, 4), (4, 3)), abs=1e-4)
    assert abs(product((1, 2), (3, 1)) - product((1, 2), (3, 2))) > 1e-2
    assert abs(product((1, 2), (3, 1)) - product((2, 1), (1, 3))) > 1e-2
