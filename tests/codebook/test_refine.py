"""Refined codes: images come out better under joint assignment, and a least-squares case whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.joint import Joint
from geovq.assignment.problem import as_problem
from geovq.batching.plan import DEFAULT_PLAN
from geovq.codebook.refine import _linearise, refine_codes


@pytest.fixture
def case(rng):
    weights = rng.standard_normal((6, 8)).astype(np.float32)

    def decode(z):
        return jnp.tanh(z.ravel() @ weights / 3).reshape(2, 4, 1)

    latents = rng.standard_normal((80, 1, 3, 2)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents))
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 3, 2, 2))
    return decode, images, latents, Codebook(latents.reshape(-1, 2)[None, :6], metrics)


def joint_error(decode, images, latents, codebook):
    return Joint().solve(decode, codebook, Inputs(latents, images)).costs.mean()


def test_other_images_come_out_better_too(case):
    decode, images, latents, codebook = case
    found = refine_codes(decode, images[:40], latents[:40], codebook, rounds=4)
    assert found.codes.shape == codebook.codes.shape
    assert all(after < before for before, after in zip(found.errors, found.errors[1:], strict=False))
    held_out = images[40:], latents[40:]
    refined = codebook._replace(codes=found.codes)
    assert joint_error(decode, *held_out, refined) < 0.9 * joint_error(decode, *held_out, codebook)


def test_two_quantizers_are_refined_together(case):
    decode, images, latents, codebook = case
    codes = codebook.codes[0]
    both = codebook._replace(codes=np.stack([codes, 0.3 * codes[::-1]]))
    found = refine_codes(decode, images, latents, both)
    assert found.codes.shape == both.codes.shape
    assert found.errors[-1] < 0.9 * found.errors[0]


def test_one_code_of_a_linear_decoder_becomes_the_mean():
    """With one code, one token and the identity as decoder, the best code is the mean of the images, up to the damping."""
    images = np.array([1.0, 2.0, 6.0], np.float32).reshape(3, 1, 1, 1)
    metrics = np.ones((1, 1, 1, 1), np.float32)
    codebook = Codebook(np.zeros((1, 1, 1), np.float32), metrics)
    found = refine_codes(lambda z: z, images, images, codebook, rounds=10, tolerance=1e-6)
    np.testing.assert_allclose(found.codes, [[[3]]], atol=0.01)
    np.testing.assert_allclose(found.errors[-1], 14 / 3, rtol=1e-3)


def test_a_code_that_no_token_became_is_moved_where_images_are_worst(case):
    decode, images, latents, codebook = case
    far = np.concatenate([codebook.codes, np.full((1, 1, 2), 60, np.float32)], axis=1)
    found = refine_codes(decode, images, latents, codebook._replace(codes=far))
    assert np.abs(found.codes).max() < 20


@pytest.fixture
def large_case(rng):
    """Grids of 6x6 tokens, of which each changes its own 2x2 pixels and those of the tokens next to it."""
    kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 2)).astype(np.float32))

    def decode(z):
        wide = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)
        layout = ("NHWC", "HWIO", "NHWC")
        return jnp.tanh(jax.lax.conv_general_dilated(wide[None], kernel, (1, 1), "SAME", dimension_numbers=layout)[0])

    latents = rng.standard_normal((12, 6, 6, 2)).astype(np.float32) / 2
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 1, 2, 2))
    return decode, np.asarray(jax.vmap(decode)(latents)), latents, Codebook(latents.reshape(-1, 2)[None, :6], metrics)


def test_large_grids_are_refined_on_a_band(large_case):
    decode, images, latents, codebook = large_case
    found = refine_codes(decode, images[:8], latents[:8], codebook, rounds=3)
    assert all(after < before for before, after in zip(found.errors, found.errors[1:], strict=False))
    held_out = images[8:], latents[8:]
    refined = codebook._replace(codes=found.codes)
    assert joint_error(decode, *held_out, refined) < 0.9 * joint_error(decode, *held_out, codebook)


def test_products_of_the_band_are_those_of_the_jacobian(large_case, rng):
    decode, images, latents, codebook = large_case
    problem = as_problem(decode, latents[:3], codebook)
    push, moments = _linearise(problem, latents[:3], images[3:6], DEFAULT_PLAN)
    moves = rng.standard_normal((3, 36, 2)).astype(np.float32)
    for i in range(3):
        jacobian = np.asarray(jax.jacfwd(decode)(latents[i])).reshape(-1, 36, 2).astype(np.float64)
        gram = np.einsum("piz,pjy->izjy", jacobian, jacobian)
        rows, columns = np.divmod(np.arange(36), 6)
        near = np.maximum(abs(rows[:, None] - rows), abs(columns[:, None] - columns)) <= 1
        wanted = np.einsum("izjy,ij,jy->iz", gram, near, moves[i])
        np.testing.assert_allclose(push(moves)[i], wanted, rtol=1e-3, atol=1e-4)
        rest = (images[3 + i] - np.asarray(decode(latents[i]))).ravel()
        np.testing.assert_allclose(moments[i], np.einsum("piz,p->iz", jacobian, rest), rtol=1e-3, atol=1e-4)
