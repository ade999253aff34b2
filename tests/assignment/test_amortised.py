"""Amortised assignment: one step of joint where the kind's JᵀJ is the image's own, and kinds by brute force."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import assign_amortised
from geovq.assignment.clusters import measure_kinds
from geovq.assignment.joint import assign_joint
from geovq.batching.run import Plan
from geovq.validation import InputError
from tests import reference

K, SHAPE, N = 5, (1, 3, 2), 64
DAMPINGS = (0.1, 1.0)


@pytest.fixture
def case(rng):
    """A decoder that is linear where latents are positive, and another linear one where they are not, with codes and images."""
    weights = rng.standard_normal((2, 6, 8)).astype(np.float32)

    def decode(z):
        return jnp.where(z[0, 0, 0] > 0, z.ravel() @ weights[0], z.ravel() @ weights[1]).reshape(2, 4, 1)

    latents = rng.standard_normal((N, *SHAPE)).astype(np.float32)
    latents[:, 0, 0, 0] = np.where(np.arange(N) % 2, 3, -3)
    codes = rng.standard_normal((K, 2)).astype(np.float32)
    codes[:, 0] = np.where(np.arange(K) % 2, 3, -3)
    images = np.asarray(jax.vmap(decode)(latents)) + 0.05 * rng.standard_normal((N, 2, 4, 1)).astype(np.float32)
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 3, 2, 2))
    start = np.argmin(((latents[..., None, :] - codes) ** 2).sum(-1), axis=-1).astype(np.int32)
    return decode, images, latents, codes, metrics, start


def kinds_of(case, count):
    decode, _, latents, codes, metrics, _ = case
    return measure_kinds(decode, latents, codes, metrics, kinds=count)


def test_each_kind_has_the_mean_gram_of_its_images(case):
    decode, _, latents, codes, _, start = case
    kinds = kinds_of(case, 2)
    latent_of = latents.reshape(N, 3, 2)
    places = np.einsum("nqi,qri->nqr", latent_of, kinds.coordinates)
    nearest = ((places[:, None] - kinds.centres) ** 2).sum(axis=(2, 3)).argmin(axis=1)
    assert sorted(set(nearest)) == [0, 1]
    for kind in (0, 1):
        grams = []
        for i in np.flatnonzero(nearest == kind):
            at = codes[start[i]].astype(float)
            jacobian = reference.jacobian(lambda z: np.ravel(decode(z.reshape(SHAPE))), at.ravel(), step=1e-2)
            grams.append(jacobian.T @ jacobian)
        back = np.zeros((6, 6))
        c = kinds.coordinates
        for q in range(3):
            for p in range(3):
                back[2 * q : 2 * q + 2, 2 * p : 2 * p + 2] = c[q].T @ kinds.grams[kind, q, :, p] @ c[p]
        np.testing.assert_allclose(back, np.mean(grams, axis=0), atol=2e-2)
    np.testing.assert_allclose(kinds.rest, 0, atol=1e-5)


def test_it_is_a_step_of_joint_where_all_images_of_a_kind_are_alike(case):
    """With a linear decoder for each kind nothing is lost by looking JᵀJ up."""
    decode, images, latents, codes, metrics, start = case
    kinds = kinds_of(case, 2)
    step = assign_joint(decode, images, latents, start, codes, metrics, jacobians=1, corrections=0, dampings=DAMPINGS)
    found = assign_amortised(decode, images, latents, start, codes, metrics, kinds, dampings=DAMPINGS)
    np.testing.assert_array_equal(found.tokens, step.tokens)
    assert (found.tokens != start).any()
    one_for_all = assign_amortised(decode, images, latents, start, codes, metrics, kinds_of(case, 1), dampings=DAMPINGS)
    assert found.costs.mean() < one_for_all.costs.mean()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_true_error_never_rises_and_is_what_is_said(steps, case):
    decode, images, latents, codes, metrics, start = case
    found = assign_amortised(decode, images, latents, start, codes, metrics, kinds_of(case, 4), steps=steps)

    def errors(tokens):
        return np.array([np.sum((decode(codes[t]) - x) ** 2) for t, x in zip(tokens, images, strict=True)])

    np.testing.assert_allclose(found.costs, errors(found.tokens), rtol=1e-3, atol=1e-4)
    assert (found.costs <= errors(start) + 1e-4).all()
    assert found.costs.mean() < 0.8 * errors(start).mean()


def test_neither_the_batch_nor_chunks_nor_devices_change_tokens(case):
    decode, images, latents, codes, metrics, start = case
    kinds = kinds_of(case, 2)
    whole = assign_amortised(decode, images, latents, start, codes, metrics, kinds).tokens
    for plan in (Plan(passes=2), Plan(passes=1000), Plan(mesh=jax.make_mesh((1,), ("data",)))):
        for rows in (slice(0, N), slice(3, 4)):
            found = assign_amortised(decode, images[rows], latents[rows], start[rows], codes, metrics, kinds, plan=plan)
            np.testing.assert_array_equal(found.tokens, whole[rows])


def test_few_images_are_one_kind(case):
    decode, _, latents, codes, metrics, _ = case
    done: list[int] = []
    kinds = measure_kinds(decode, latents[:5], codes, metrics, progress=done.append)
    assert len(kinds.centres) == 1
    assert sum(done) == 5


def test_a_decoder_that_fails_is_refused(case):
    decode, images, latents, codes, metrics, start = case
    kinds = kinds_of(case, 2)
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        assign_amortised(lambda z: decode(z) / 0.0, images, latents, start, codes, metrics, kinds)
    with pytest.raises(InputError, match="that JAX can trace"):
        measure_kinds(lambda z: np.asarray(z), latents, codes, metrics)
    with pytest.raises(InputError, match="NaN or infinity"):
        measure_kinds(lambda z: decode(z) / 0.0, latents, codes, metrics)


def test_latents_of_half_precision(case):
    """An encoder that computes in bfloat16; the decoder is run in float32."""
    decode, images, latents, codes, metrics, start = case
    half: Any = jnp.asarray(latents, jnp.bfloat16)
    kinds = measure_kinds(decode, half, codes, metrics)
    for found in (
        assign_amortised(decode, images, half, start, codes, metrics, kinds),
        assign_joint(decode, images, half, start, codes, metrics, directions=4),
        assign_joint(decode, images, half, start, codes, metrics),
    ):
        assert (found.costs <= start_errors(case) + 1e-4).all()


def start_errors(case):
    decode, images, _, codes, _, start = case
    return np.array([np.sum((decode(codes[t]) - x) ** 2) for t, x in zip(start, images, strict=True)])


def test_what_is_beside_the_directions_costs_its_mean_metric(rng):
    """With d = 9 there are more numbers than directions; the codes' errors by hand, of a linear decoder and one kind."""
    d, n = 9, 20
    weights = (rng.standard_normal((d, 12)) * np.linspace(1, 0.1, d)[:, None]).astype(np.float32)
    latents = rng.standard_normal((n, 1, 1, d)).astype(np.float32)
    codes = rng.standard_normal((40, d)).astype(np.float32)
    metrics = (weights @ weights.T).reshape(1, 1, d, d)
    images = (latents.reshape(n, d) @ weights + 0.3 * rng.standard_normal((n, 12))).astype(np.float32)
    images = images.reshape(n, 3, 4, 1)
    kinds = measure_kinds(lambda z: (z.ravel() @ weights).reshape(3, 4, 1), latents, codes, metrics)
    assert kinds.coordinates.shape == (1, 6, d)
    assert np.abs(kinds.rest).max() > 0.01
    found = assign_amortised(
        lambda z: (z.ravel() @ weights).reshape(3, 4, 1),
        images,
        latents,
        np.zeros((n, 1, 1), np.int32),
        codes,
        metrics,
        kinds,
        dampings=(0.0,),
    )
    # The decoder is linear and JᵀJ the same everywhere, so the step is exact: the code with the least error of all.
    errors = ((codes @ weights - images.reshape(n, 1, 12)) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(found.tokens.ravel(), errors.argmin(axis=1))
