"""Perceptual costs: what is added to the squared error counts in the gradient and in the true cost of all that see the image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.clusters import measure_clusters
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.perceptual import weighted_distance
from geovq.batching.plan import DEFAULT_PLAN as PLAN
from geovq.batching.plan import Plan
from geovq.decoder.adapters import as_partial
from geovq.models.lpips_network import installed_weights, perceptual_distance
from geovq.validation import InputError

SHAPE = (2, 2, 2)


def slopes(decoded, image):
    """Squared differences between neighbours in a row: edges."""
    return jnp.mean((jnp.diff(decoded, axis=1) - jnp.diff(image, axis=1)) ** 2)


@pytest.fixture
def case(rng):
    weights = rng.standard_normal((8, 16)).astype(np.float32)

    def decode(z):
        return jax.nn.sigmoid(z.ravel() @ weights / 2).reshape(4, 4, 1)

    latents = rng.standard_normal((48, *SHAPE)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents)) + 0.2 * rng.standard_normal((48, 4, 4, 1)).astype(np.float32)
    codes = rng.standard_normal((1, 6, 2)).astype(np.float32)
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (2, 2, 2, 2))
    start = rng.integers(0, 6, (48, 2, 2, 1)).astype(np.int32)
    return as_partial(decode), Codebook(codes, metrics), Inputs(latents, images, start=start)


def scores(case, tokens):
    decode, codebook, inputs = case
    decoded = jax.vmap(decode)(codebook.codes[0][tokens[..., 0]])
    squared = np.sum((np.asarray(decoded) - inputs.images) ** 2, axis=(1, 2, 3))
    return squared, np.array([float(slopes(*pair)) for pair in zip(decoded, inputs.images, strict=True)])


def assigners(case):
    decode, codebook, inputs = case
    clusters = measure_clusters(decode, inputs.latents, codebook)
    return [Joint(), Amortised(steps=3, clusters=clusters), Greedy(candidates=6, sweeps=2)]


@pytest.mark.parametrize("number", range(3), ids=["joint", "amortised", "greedy"])
def test_what_is_weighed_becomes_smaller(number, case):
    assigner = assigners(case)[number]
    weight = 0.3
    plain = assigner(*case, plan=PLAN)
    weighed = dataclasses.replace(assigner, perceptual=weight, distance=slopes)(*case, plan=PLAN)
    (squared, of_plain), (other, of_weighed) = scores(case, plain), scores(case, weighed)
    assert of_weighed.mean() < of_plain.mean()
    assert np.mean(other + 16 * weight * of_weighed) < np.mean(squared + 16 * weight * of_plain)


def test_costs_are_of_both(case):
    decode, codebook, inputs = case
    found = Joint(perceptual=0.5, distance=slopes).solve(decode, codebook, inputs)
    squared, distances = scores(case, found.tokens)
    np.testing.assert_allclose(found.costs, squared + 16 * 0.5 * distances, rtol=1e-4)


def wide(decoded, image):
    """A distance whose features take 16 MiB."""
    features = jnp.outer(jnp.ravel(decoded - image), jnp.linspace(0, 1, 1 << 18))
    return jnp.sum(jnp.sort(features, axis=1) ** 2)


@pytest.mark.parametrize("number", range(3), ids=["joint", "amortised", "greedy"])
def test_the_memory_of_the_distance_counts(number, case):
    assigner, plan = assigners(case)[number], Plan(memory=4 << 20)
    decode, codebook, inputs = case
    few = Inputs(inputs.latents[:1], inputs.images[:1], start=inputs.start[:1])
    assigner(decode, codebook, few, plan=plan)
    with pytest.raises(InputError, match=r"expected at least .* MiB .* found 4 MiB"):
        dataclasses.replace(assigner, perceptual=0.1, distance=wide)(decode, codebook, few, plan=plan)


def test_without_a_distance_it_is_lpips(rng):
    image, other = rng.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    distance = weighted_distance(0.01, None)
    assert distance is not None
    found = distance(jnp.asarray(other), jnp.asarray(image))
    wanted = 0.01 * image.size * perceptual_distance(installed_weights(), jnp.asarray(image), jnp.asarray(other))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert weighted_distance(0, None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perceptual": -1.0}, "perceptual: expected a finite weight of at least 0, such as 0.01, found -1.0"),
        ({"perceptual": True}, "perceptual: expected a finite weight"),
        ({"distance": slopes}, "perceptual: expected a weight above 0 for the distance, found 0"),
        ({"perceptual": 1.0, "distance": "lpips"}, "distance: expected a function of two images, found 'lpips'"),
    ],
)
@pytest.mark.parametrize("kind", [Joint, Amortised, Greedy])
def test_what_cannot_be_is_refused(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
