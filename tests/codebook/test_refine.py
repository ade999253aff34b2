"""Refined codes: images come out better under joint assignment, and a least-squares case whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.joint import Joint
from geovq.codebook.refine import refine_codes


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
