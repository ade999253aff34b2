"""Amortised assignment: one step of joint where the cluster's JᵀJ is the image's own, and clusters by brute force."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook, Inputs, Training
from geovq.assignment.clusters import measure_clusters
from geovq.assignment.joint import Joint
from geovq.batching.plan import Plan
from geovq.decoder.adapters import as_partial
from geovq.validation import InputError

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
    start = np.argmin(((latents[..., None, :] - codes) ** 2).sum(-1), axis=-1).astype(np.int32)[..., None]
    return as_partial(decode), Codebook(codes[None], metrics), Inputs(latents, images, start=start)


def clusters_of(case, count):
    decode, codebook, inputs = case
    return measure_clusters(decode, inputs.latents, codebook, num_clusters=count)


def errors(case, tokens):
    decode, codebook, inputs = case
    grids = codebook.codes[0][tokens[..., 0]]
    return np.array([np.sum((decode(z) - x) ** 2) for z, x in zip(grids, inputs.images, strict=True)])


def test_it_is_a_step_of_joint_where_all_images_of_a_cluster_are_alike(case):
    """With a linear decoder for each cluster nothing is lost by looking JᵀJ up."""
    step = Joint(jacobians=1, corrections=0, dampings=DAMPINGS)(*case)
    found = Amortised(dampings=DAMPINGS, clusters=clusters_of(case, 2)).solve(*case)
    np.testing.assert_array_equal(found.tokens, step)
    assert (found.tokens != case[2].start).any()
    one_for_all = Amortised(dampings=DAMPINGS, clusters=clusters_of(case, 1)).solve(*case)
    assert found.costs.mean() < one_for_all.costs.mean()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_true_error_never_rises_and_is_what_is_said(steps, case):
    found = Amortised(steps=steps, clusters=clusters_of(case, 4)).solve(*case)
    np.testing.assert_allclose(found.costs, errors(case, found.tokens), rtol=1e-3, atol=1e-4)
    before = errors(case, case[2].start)
    assert (found.costs <= before + 1e-4).all()
    assert found.costs.mean() < 0.8 * before.mean()


def test_neither_the_batch_nor_chunks_nor_devices_change_tokens(case):
    decode, codebook, inputs = case
    assigner = Amortised(clusters=clusters_of(case, 2))
    whole = assigner(*case)
    for plan in (Plan(passes=2), Plan(passes=1000), Plan(mesh=jax.make_mesh((1,), ("data",)))):
        for rows in (slice(0, N), slice(3, 4)):
            some = Inputs(inputs.latents[rows], inputs.images[rows], start=inputs.start[rows])
            np.testing.assert_array_equal(assigner(decode, codebook, some, plan=plan), whole[rows])


def test_statistics_are_measured_on_at_most_so_many_images(case):
    decode, codebook, _ = case
    images = np.random.default_rng(0).uniform(size=(30, 1, 3, 2)).astype(np.float32)
    done: list[int] = []
    found = Amortised(max_images=20).measure(decode, codebook, Training(np.asarray, images), progress=done.append)
    assert sum(done) == 20
    assert found.is_measured(codebook)
    assert not found.is_measured(codebook._replace(codes=2 * codebook.codes))
    assert not Amortised().is_measured(codebook)
    with pytest.raises(InputError, match="images: expected training images, by which Amortised measures its clusters"):
        Amortised().measure(decode, codebook, Training(np.asarray))


def test_a_decoder_that_fails_is_refused(case):
    decode, codebook, inputs = case
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        Amortised(clusters=clusters_of(case, 2))(as_partial(lambda z: decode(z) / 0.0), codebook, inputs)
    with pytest.raises(InputError, match="that JAX can trace"):
        measure_clusters(lambda z: np.asarray(z), inputs.latents, codebook)
    with pytest.raises(InputError, match="NaN or infinity"):
        measure_clusters(lambda z: decode(z) / 0.0, inputs.latents, codebook)


def test_latents_of_half_precision(case):
    """An encoder that computes in bfloat16; the decoder is run in float32."""
    decode, codebook, inputs = case
    half: Any = np.asarray(jnp.asarray(inputs.latents, jnp.bfloat16))
    clusters = measure_clusters(decode, half, codebook)
    before = errors(case, inputs.start)
    for assigner in (Amortised(clusters=clusters), Joint(directions=4, jacobians=1), Joint(jacobians=1)):
        found = assigner.solve(decode, codebook, inputs._replace(latents=half))
        assert (found.costs <= before + 1e-4).all()


def test_beside_the_directions_a_step_costs_its_mean_metric(rng):
    """With d = 9 there are more numbers than directions; the codes' errors by hand, of a linear decoder and one cluster."""
    d, n = 9, 20
    weights = (rng.standard_normal((d, 12)) * np.linspace(1, 0.1, d)[:, None]).astype(np.float32)
    latents = rng.standard_normal((n, 1, 1, d)).astype(np.float32)
    codes = rng.standard_normal((40, d)).astype(np.float32)
    codebook = Codebook(codes[None], (weights @ weights.T).reshape(1, 1, d, d))
    images = (latents.reshape(n, d) @ weights + 0.3 * rng.standard_normal((n, 12))).astype(np.float32)
    decode = as_partial(lambda z: (z.ravel() @ weights).reshape(3, 4, 1))
    clusters = measure_clusters(decode, latents, codebook)
    assert clusters.coordinates.shape == (1, 6, d)
    assert np.abs(clusters.residual).max() > 0.01
    inputs = Inputs(latents, images.reshape(n, 3, 4, 1), start=np.zeros((n, 1, 1, 1), np.int32))
    found = Amortised(dampings=(0.0,), clusters=clusters)(decode, codebook, inputs)
    # The decoder is linear and JᵀJ the same everywhere, so the step is exact: the code with the least error of all.
    least = ((codes @ weights - images.reshape(n, 1, 12)) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(found.ravel(), least.argmin(axis=1))
