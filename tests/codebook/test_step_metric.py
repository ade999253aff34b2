"""The metric of quantization steps: smoothed for a decoder that saturates, the mean for one that does not, never below Euclid."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.nearest_codes import nearest_tokens, nearest_tokens_whitened
from geovq.codebook.step_metric import StepMetricName, fit_step_metric, step_covariance
from geovq.decoder.adapters import single
from geovq.metric.batched import mean_metrics
from geovq.validation import InputError


def saturating(latents):
    """One pixel of a token ripples fast with its first number by little, the other follows the second: (n, h, w, 2)."""
    first, second = latents[..., 0], latents[..., 1]
    return 0.5 + jnp.stack([0.01 * jnp.sin(60 * first), 0.2 * second], axis=-1)


def linear(latents):
    """The first number counts ten times as much as the second."""
    return 0.5 + latents @ jnp.diag(jnp.array([0.2, 0.02]))


def case(decode, rng, n=12):
    latents = rng.uniform(-1, 1, (n, 4, 4, 2)).astype(np.float32)
    codes = rng.uniform(-1, 1, (1, 12, 2)).astype(np.float32)
    images = np.asarray(decode(latents), np.float32)
    return lambda root: codes, latents, images, mean_metrics(single(decode), latents).overall


def test_a_decoder_that_saturates_takes_the_smoothed_metric(rng):
    """To first order the ripples count for more; over a step they average to nothing."""
    codes, latents, images, mean = case(saturating, rng)
    assert mean[0, 0] > 2 * mean[1, 1]
    found = fit_step_metric(saturating, codes, latents, images, mean)
    assert found.name == "smoothed"
    assert found.metric[1, 1] > 5 * found.metric[0, 0]
    assert found.psnr["smoothed"] > found.psnr["euclidean"] > found.psnr["mean"]
    np.testing.assert_allclose(np.trace(found.metric), np.trace(mean), rtol=1e-5)


def test_a_linear_decoder_keeps_what_the_mean_metric_wins(rng):
    codes, latents, images, mean = case(linear, rng)
    found = fit_step_metric(linear, codes, latents, images, mean)
    assert found.name in ("mean", "smoothed")
    np.testing.assert_allclose(found.metric, mean, atol=0.2 * mean.max())
    assert found.psnr["mean"] > found.psnr["euclidean"] + 1


def test_the_scores_are_those_of_the_images_that_did_not_measure(rng):
    fit, latents, images, mean = case(linear, rng, n=6)
    codes = fit(np.eye(2))
    found = fit_step_metric(linear, codes, latents, images, mean)
    flat = latents[3:].reshape(-1, 2)
    tokens_by: dict[StepMetricName, np.ndarray] = {
        "mean": nearest_tokens_whitened(flat, codes, mean),
        "euclidean": nearest_tokens(flat, codes),
    }
    for name, tokens in tokens_by.items():
        decoded = np.clip(np.asarray(linear(codes[0][tokens[:, 0]])).reshape(images[3:].shape), 0, 1)
        errors = ((decoded - images[3:]) ** 2).mean(axis=(1, 2, 3))
        assert found.psnr[name] == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3)


def test_the_covariance_of_steps_by_hand():
    """Two tokens, a step of -1 along x from one and of 2 along y from the other."""
    latents = np.array([[[[1, 0], [5, 3]]]], np.float32)
    codes = np.array([[[0, 0], [5, 5]]], np.float32)
    np.testing.assert_allclose(step_covariance(codes, latents), [[0.5, 0.0], [0.0, 2.0]])


def test_one_image_is_refused(rng):
    codes, latents, images, mean = case(linear, rng, n=1)
    with pytest.raises(InputError, match="images: expected two or more"):
        fit_step_metric(linear, codes, latents, images, mean)


def test_every_metric_has_codes_of_its_own(rng):
    """With codes that are good under the identity alone, the choice is Euclid although the decoder is linear."""
    fit, latents, images, mean = case(linear, rng)
    good, bad = fit(np.eye(2)), np.full((1, 1, 2), 3, np.float32)

    def only_euclidean(root):
        return good if np.array_equal(root, np.eye(2)) else bad

    found = fit_step_metric(linear, only_euclidean, latents, images, mean)
    assert found.name == "euclidean"
    np.testing.assert_allclose(found.metric, np.trace(mean) / 2 * np.eye(2), rtol=1e-5)
