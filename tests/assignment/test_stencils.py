"""Stencils: exact where JᵀJ is the same everywhere, symmetric, and of use for grids of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook, Inputs, Training
from geovq.assignment.patchwork import patch, token_errors
from geovq.assignment.stencils import look_up_band, measure_stencils
from geovq.decoder.adapters import as_partial
from geovq.metric.neighbours import neighbour_metrics

LAYOUT = ("NHWC", "HWIO", "NHWC")


def enlarge(z, kernel):
    return jax.lax.conv_general_dilated(
        jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)[None], kernel, (1, 1), "SAME", dimension_numbers=LAYOUT
    )[0]


@pytest.fixture
def kernel(rng):
    return rng.standard_normal((3, 3, 2, 1)).astype(np.float32) / 3


@pytest.fixture
def codebook(rng):
    return Codebook(rng.standard_normal((1, 5, 2)).astype(np.float32), np.eye(2, dtype=np.float32)[None, None])


def test_a_linear_decoder_has_one_stencil(kernel, codebook, rng):
    """Its JᵀJ is the same everywhere but at the border, whose tokens are not measured."""
    decode = as_partial(lambda z: enlarge(z, kernel))
    latents = rng.standard_normal((4, 7, 6, 2)).astype(np.float32)
    stencils = measure_stencils(decode, latents, codebook, num_clusters=3)
    other = rng.standard_normal((5, 9, 2)).astype(np.float32)
    wanted = neighbour_metrics(decode, other[None])[0]
    found = np.asarray(look_up_band(stencils, jnp.asarray(other)))
    np.testing.assert_allclose(found[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-4)
    np.testing.assert_array_equal(found[0, :, :3], 0)


def test_the_band_is_symmetric(kernel, codebook, rng):
    decode = as_partial(lambda z: jnp.tanh(enlarge(z, kernel)))
    latents = rng.standard_normal((8, 8, 8, 2)).astype(np.float32)
    stencils = measure_stencils(decode, latents, codebook, num_clusters=8)
    assert len(stencils.blocks) > 1
    band = np.asarray(look_up_band(stencils, jnp.asarray(latents[0])))
    np.testing.assert_allclose(band[2, 3, 5], band[2, 4, 3].T, rtol=1e-5)  # right neighbour, and that one's left one
    np.testing.assert_allclose(band[2, 3, 7], band[3, 3, 1].T, rtol=1e-5)  # the one below


def test_amortised_takes_any_size_and_never_makes_an_image_worse(kernel, codebook, rng):
    decode = as_partial(lambda z: jnp.tanh(enlarge(z, kernel)))
    training = rng.uniform(size=(6, 14, 12, 1)).astype(np.float32)
    encode = lambda images: jnp.concatenate([images[:, ::2, ::2], images[:, 1::2, 1::2]], axis=-1)  # noqa: E731
    assigner = Amortised().measure(decode, codebook, Training(encode, training))
    assert assigner.stencils is not None
    assert assigner.is_measured(codebook)
    assert not assigner.is_measured(codebook._replace(codes=codebook.codes + 1))
    for shape in ((6, 7), (9, 5)):
        latents = rng.standard_normal((3, *shape, 2)).astype(np.float32)
        images = np.asarray(jax.vmap(decode)(latents))
        start = rng.integers(0, 5, (3, *shape, 1)).astype(np.int32)
        found = assigner.solve(decode, codebook, Inputs(latents, images, start=start))
        before, after = (
            np.sum((np.asarray(jax.vmap(decode)(codebook.codes[0][t[..., 0]])) - images) ** 2, axis=(1, 2, 3))
            for t in (start, found.tokens)
        )
        assert (after < before).all()
        np.testing.assert_allclose(found.costs, after, rtol=1e-4)


def test_errors_around_tokens_by_hand():
    decoded, image = np.zeros((2, 4, 4, 1), np.float32)
    decoded[0, 0, 0] = 2  # in the block of the first token
    found = token_errors(jnp.asarray(decoded - image) ** 2, (4, 4))
    np.testing.assert_array_equal(found, [[4, 4, 0, 0], [4, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_stencils_are_of_images_at_random(kernel, codebook, rng):
    """In a sorted folder the first images are all alike."""
    decode = as_partial(lambda z: jnp.tanh(enlarge(z, kernel)))
    encode = lambda images: jnp.concatenate([images[:, ::2, ::2], images[:, 1::2, 1::2]], axis=-1)  # noqa: E731
    training = rng.uniform(size=(100, 14, 12, 1)).astype(np.float32)
    training[:60] = 0
    stencils = Amortised().measure(decode, codebook, Training(encode, training)).stencils
    assert stencils is not None
    assert len(stencils.blocks) > 1


def test_grids_of_two_rows_have_stencils(kernel, codebook, rng):
    decode = as_partial(lambda z: jnp.tanh(enlarge(z, kernel)))
    stencils = measure_stencils(decode, rng.standard_normal((4, 2, 15, 2)).astype(np.float32), codebook)
    assert np.isfinite(stencils.blocks).all()


def test_a_patchwork_takes_every_part_from_the_best_trial():
    trials = np.arange(8).reshape(2, 2, 2, 1)
    errors = np.array([[[1, 2], [3, 3]], [[2, 1], [3, 1]]], np.float32)
    np.testing.assert_array_equal(patch(jnp.asarray(trials), jnp.asarray(errors))[..., 0], [[0, 5], [2, 7]])
