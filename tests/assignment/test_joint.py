"""Joint and decoded assignment: brute force on a linear decoder, the error that never rises, and what does not change results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.greedy import assign_decoded
from geovq.assignment.joint import assign_joint
from geovq.batching.run import Plan
from geovq.validation import InputError
from tests import reference

K, SHAPE = 3, (1, 3, 2)


@pytest.fixture
def case(rng):
    """A curved decoder whose tokens overlap in the image, codes, and images with their latents."""
    weights = rng.standard_normal((6, 8)).astype(np.float32)

    def decode(z):
        return jnp.tanh(z.ravel() @ weights / 3).reshape(2, 4, 1)

    latents = rng.standard_normal((20, *SHAPE)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents)) + 0.05 * rng.standard_normal((20, 2, 4, 1)).astype(np.float32)
    codes = rng.standard_normal((K, 2)).astype(np.float32)
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 3, 2, 2))
    start = np.argmin(((latents[..., None, :] - codes) ** 2).sum(-1), axis=-1).astype(np.int32)
    return decode, images, latents, start, codes, metrics


def errors(decode, images, codes, tokens):
    return np.array([np.sum((decode(codes[grid]) - image) ** 2) for image, grid in zip(images, tokens, strict=True)])


def test_one_token_by_hand():
    """Of the codes 0 and 1 the second is nearer to the latent; the image asks for the first."""
    codes = np.array([[0.0], [1.0]], np.float32)
    latents, images = np.full((1, 1, 1, 1), 0.9, np.float32), np.zeros((1, 1, 1, 1), np.float32)
    metrics = np.ones((1, 1, 1, 1), np.float32)
    start = np.ones((1, 1, 1), np.int32)
    found = assign_joint(lambda z: z, images, latents, start, codes, metrics)
    np.testing.assert_array_equal(found.tokens, [[[0]]])
    np.testing.assert_allclose(found.costs, [0])
    tried = assign_decoded(lambda z: z, images, start, codes, metrics)
    np.testing.assert_array_equal(tried, [[[0]]])


def test_it_nearly_finds_the_best_of_all_tokens(case):
    decode, images, latents, start, codes, metrics = case
    found = assign_joint(decode, images, latents, start, codes, metrics)
    tried = assign_decoded(decode, images, found.tokens, codes, metrics, candidates=K, sweeps=3)
    best = np.stack(
        [reference.best_tokens(lambda t, x=x: np.sum((decode(codes[t]) - x) ** 2), SHAPE[:2], K) for x in images]
    )
    least = errors(decode, images, codes, best).mean()
    assert errors(decode, images, codes, start).mean() > 1.2 * least
    assert errors(decode, images, codes, found.tokens).mean() < 1.05 * least
    assert errors(decode, images, codes, tried).mean() < 1.03 * least


@pytest.mark.parametrize("directions", [None, 4])
def test_the_true_error_never_rises_and_is_what_is_said(directions, case):
    decode, images, latents, start, codes, metrics = case
    before = errors(decode, images, codes, start)
    for jacobians in (1, 2, 3):
        found = assign_joint(
            decode, images, latents, start, codes, metrics, directions=directions, jacobians=jacobians, dampings=(0.0,)
        )
        after = errors(decode, images, codes, found.tokens)
        np.testing.assert_allclose(found.costs, after, rtol=1e-4, atol=1e-5)
        assert (after <= before + 1e-5).all()
        assert jacobians > 1 or (after < before - 1e-3).any()
        before = after
    tried = errors(decode, images, codes, assign_decoded(decode, images, found.tokens, codes, metrics))
    assert (tried <= after + 1e-5).all()


def test_decoded_ends_where_no_single_code_is_better(case):
    decode, images, _, start, codes, metrics = case
    tried = assign_decoded(decode, images, start, codes, metrics, candidates=K, sweeps=20)
    least = errors(decode, images, codes, tried)
    for place in np.ndindex(*SHAPE[:2]):
        for code in range(K):
            other = tried.copy()
            other[:, *place] = code
            assert (errors(decode, images, codes, other) >= least - 1e-5).all()


def test_codes_with_stages_come_nearer(case, rng):
    decode, images, latents, start, codes, metrics = case
    stages = np.stack([codes, 0.3 * rng.standard_normal((K, 2)).astype(np.float32)])
    both = np.stack([start, np.zeros_like(start)], axis=-1)
    found = assign_joint(decode, images, latents, both, stages, metrics)
    assert found.tokens.shape == both.shape
    single = assign_joint(decode, images, latents, start, codes, metrics)
    assert found.costs.mean() < single.costs.mean()
    tried = assign_decoded(decode, images, found.tokens, stages, metrics)
    latents_of = [reference.summed_codes(stages, grid.reshape(3, 2)).reshape(SHAPE) for grid in tried]
    after = [np.sum((decode(z.astype(np.float32)) - x) ** 2) for z, x in zip(latents_of, images, strict=True)]
    assert (np.array(after) <= found.costs + 1e-5).all()


def test_neither_the_batch_nor_chunks_nor_devices_change_tokens(case):
    decode, images, latents, start, codes, metrics = case
    whole = assign_joint(decode, images, latents, start, codes, metrics).tokens
    tried = assign_decoded(decode, images, whole, codes, metrics)
    mesh = jax.make_mesh((1,), ("data",))
    for plan in (Plan(passes=2), Plan(passes=100), Plan(mesh=mesh)):
        for rows in (slice(0, 20), slice(3, 4)):
            of = (images[rows], latents[rows], start[rows], codes, metrics)
            np.testing.assert_array_equal(assign_joint(decode, *of, plan=plan).tokens, whole[rows])
            of_decoded = (images[rows], whole[rows], codes, metrics)
            np.testing.assert_array_equal(assign_decoded(decode, *of_decoded, plan=plan), tried[rows])


def test_progress_counts_every_image_once(case):
    decode, images, latents, start, codes, metrics = case
    done: list[int] = []
    tokens = assign_joint(decode, images, latents, start, codes, metrics, progress=done.append).tokens
    assert sum(done) == 20
    done.clear()
    assign_decoded(decode, images, tokens, codes, metrics, sweeps=3, progress=done.append)
    assert sum(done) == 20


def test_a_decoder_that_fails_is_refused(case):
    decode, images, latents, start, codes, metrics = case
    with pytest.raises(InputError, match="that JAX can trace"):
        assign_joint(lambda z: np.asarray(z), images, latents, start, codes, metrics)
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        assign_joint(lambda z: decode(z) / 0.0, images, latents, start, codes, metrics)
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        assign_decoded(lambda z: jnp.where(z > codes[1, 0], z, jnp.nan), images[:, :1, :1], start, codes, metrics)
    at_zero = np.zeros_like(latents[:, :, :1]), np.zeros_like(start[:, :, :1])
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):  # an image that is finite, without derivatives
        assign_joint(lambda z: jnp.sqrt(z), np.zeros((20, 1, 1, 2), np.float32), *at_zero, codes**2, metrics[:, :1])
    with pytest.raises(InputError, match="codes: expected shape"):
        assign_joint(decode, images, latents, start, codes[0], metrics)
