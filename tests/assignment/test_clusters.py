"""Clusters of images: their mean JᵀJ by finite differences, and by hand for a linear decoder."""

import numpy as np
import pytest

from geovq.assignment.base import Codebook
from geovq.assignment.clusters import measure_clusters
from geovq.decoder.adapters import as_partial
from geovq.validation import InputError
from tests import reference
from tests.assignment import test_amortised
from tests.assignment.test_amortised import SHAPE, N, clusters_of

halves = test_amortised.case  # the same fixture: a decoder that is one linear function on each half of the latents


def test_each_cluster_has_the_mean_gram_of_its_images(halves):
    decode, codebook, inputs = halves
    clusters = clusters_of(halves, 2)
    at = np.einsum("nqi,qri->nqr", inputs.latents.reshape(N, 3, 2), clusters.coordinates)
    nearest = ((at[:, None] - clusters.centres) ** 2).sum(axis=(2, 3)).argmin(axis=1)
    assert sorted(set(nearest)) == [0, 1]
    for cluster in (0, 1):
        grams = []
        for i in np.flatnonzero(nearest == cluster):
            code = codebook.codes[0][inputs.start[i, ..., 0]].astype(float)
            jacobian = reference.jacobian(lambda z: np.ravel(decode(z.reshape(SHAPE))), code.ravel(), step=1e-2)
            grams.append(jacobian.T @ jacobian)
        back = np.zeros((6, 6))
        c = clusters.coordinates
        for q in range(3):
            for p in range(3):
                back[2 * q : 2 * q + 2, 2 * p : 2 * p + 2] = c[q].T @ clusters.grams[cluster, q, :, p] @ c[p]
        np.testing.assert_allclose(back, np.mean(grams, axis=0), atol=2e-2)
    np.testing.assert_allclose(clusters.residual, 0, atol=1e-5)


def test_few_images_are_one_cluster(halves):
    decode, codebook, inputs = halves
    done: list[int] = []
    clusters = measure_clusters(decode, inputs.latents[:5], codebook, progress=done.append)
    assert len(clusters.centres) == 1
    assert sum(done) == 5


def linear(n: int, scale: float = 1.0):
    """A decoder with the constant JᵀJ = diag(scale²·4, scale²·1), n latents of one token, and one code."""
    decode = as_partial(lambda z: scale * z.ravel() * np.array([2, 1], np.float32))
    codebook = Codebook(np.zeros((1, 1, 2), np.float32), scale**2 * np.diag([4, 1]).astype(np.float32)[None, None])
    return decode, np.random.default_rng(0).standard_normal((n, 1, 1, 2)).astype(np.float32), codebook


def test_a_linear_decoder_has_the_same_gram_everywhere():
    """Coordinates are those in which JᵀJ is the identity, or are not: put back into latents it is J's own."""
    found = measure_clusters(*linear(64), num_clusters=3)
    assert len(found.centres) == 3
    for gram in found.grams:
        back = found.coordinates[0].T @ gram[0, :, 0] @ found.coordinates[0]
        np.testing.assert_allclose(back + found.residual[0], np.diag([4, 1]), atol=1e-4)


@pytest.mark.parametrize(("n", "wanted"), [(1, 1), (31, 1), (32, 2), (64, 4), (1000, 5)])
def test_a_cluster_has_sixteen_images_in_the_mean(n, wanted):
    assert len(measure_clusters(*linear(n), num_clusters=5).centres) == wanted


def test_copies_are_one_cluster():
    decode, latents, codebook = linear(64)
    assert len(measure_clusters(decode, np.repeat(latents[:1], 64, axis=0), codebook).centres) == 1


def test_the_same_seed_gives_the_same_clusters():
    for first, again in zip(*(measure_clusters(*linear(64), num_clusters=4, seed=2) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(first, again)


def test_a_decoder_without_finite_derivatives_is_refused():
    decode, latents, codebook = linear(32)
    with pytest.raises(InputError, match="NaN or infinity at latent 0"):
        measure_clusters(as_partial(lambda z: decode(z) / 0.0), latents, codebook)
