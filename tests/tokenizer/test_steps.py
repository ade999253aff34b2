"""The metric of quantization steps in tokenizers of large grids: measured on crops, and used by codes and tokens alike."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.whitened import Whitened
from geovq.batching.plan import DEFAULT_PLAN
from geovq.codebook import step_metric
from geovq.codebook.fit import fit_codes
from geovq.codebook.recipe import Recipe
from geovq.codebook.step_metric import StepMetric
from geovq.geometry.measured import Means, draw
from geovq.tokenizer import steps
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from geovq.tokenizer.parts import vae_of_shapes
from geovq.tokenizer.steps import draw_step_crops
from geovq.tokenizer.tokenizer import Tokenizer

IMAGES = np.random.default_rng(0).integers(120, 136, (24, 4, 4, 1), dtype=np.uint8)
IMAGES[:, :, 1::2] = np.random.default_rng(1).integers(76, 180, (24, 4, 2, 1))
OPTIONS: dict[str, Any] = {"seed": 3}
K = 12


def encode(images):
    """Two pixels of a row are a token: the first varies by 0.03, the second by 0.2."""
    n, height, width, _ = images.shape
    pairs = images.reshape(n, height, width // 2, 2) - 0.5
    return jnp.stack([pairs[..., 0] / 0.03, pairs[..., 1] / 0.2], axis=-1)


def decode(latents):
    """The second pixel follows its number. The first ripples faster than a quantization step is long."""
    first, second = jnp.sin(40 * latents[..., 0]), latents[..., 1]
    pixels = 0.5 + jnp.stack([0.03 * first, 0.2 * second], axis=-1)
    return pixels.reshape(len(latents), latents.shape[1], -1, 1)


def decode_fixed(latents):
    """`decode` for grids of 4x2 alone."""
    return decode(latents.reshape(-1, 4, 2, 2))


@pytest.fixture
def large(monkeypatch):
    """Every grid counts as large."""
    monkeypatch.setattr("geovq.tokenizer.defaults.EXACT_SIZE", 1)


@pytest.fixture
def found(monkeypatch) -> list[StepMetric]:
    """All metrics of steps that are chosen."""
    results: list[StepMetric] = []

    def watch(*args, fit=steps.fit_step_metric, **options):
        results.append(fit(*args, **options))
        return results[-1]

    monkeypatch.setattr(steps, "fit_step_metric", watch)
    return results


def fit(codebook="whitened", decode=decode, **options: Any) -> Tokenizer:
    return Tokenizer.fit(
        encode, decode, IMAGES, num_codes=K, codebook=codebook, assigner=Whitened(), **OPTIONS, **options
    )


@pytest.mark.parametrize("codebook", ["whitened", "kmeans"])
def test_large_grids_take_the_metric_of_steps(codebook, large, found):
    """To first order the ripples count for more than what a step changes."""
    tokenizer = fit(codebook)
    (step,) = found
    assert step.name == "smoothed"
    metric = tokenizer.mean_metric
    assert metric[1, 1] > 5 * metric[0, 0]
    np.testing.assert_allclose(tokenizer.codebook.position_metrics, step.metric[None, None], rtol=1e-6)
    measured = measure(encode, decode, IMAGES, statistics="means", **OPTIONS)
    assert measured.statistics.mean_metric[0, 0] > 2 * measured.statistics.mean_metric[1, 1]
    recipe = Recipe(codebook, K, seed=3)
    wanted = fit_codes(recipe, measured.latents, measured.statistics._replace(mean_metric=step.metric))
    np.testing.assert_array_equal(tokenizer.codebook.codes, wanted)
    given = Tokenizer.from_codes(encode, decode, tokenizer.codes, IMAGES, assigner=Whitened())
    assert found[1].name == "smoothed"
    np.testing.assert_allclose(given.mean_metric, found[1].metric, rtol=1e-6)  # the mean over positions


def test_every_position_of_a_fixed_grid_takes_it(large, found):
    metrics = fit(decode=decode_fixed).codebook.position_metrics
    assert found[0].name == "smoothed"
    np.testing.assert_array_equal(metrics, np.broadcast_to(found[0].metric, (4, 2, 2, 2)))


def test_positions_keep_their_means_where_the_mean_is_chosen(rng, monkeypatch):
    vae = vae_of_shapes(encode, decode_fixed, (4, 4, 1), (4, 2, 2))
    means, other = Means(np.eye(2), rng.normal(size=(4, 2, 2, 2))), np.full((2, 2), 3.0)
    codes = rng.normal(size=(1, K, 2)).astype(np.float32)
    options: dict[str, Any] = {"seed": 0, "plan": DEFAULT_PLAN, "progress": None}
    for name in ("mean", "smoothed", "euclidean"):
        monkeypatch.setattr(steps, "fit_step_metric", lambda *of, name=name, **_: StepMetric(other, name, {}))
        assert steps.choose_step_metric(vae, IMAGES[:1], codes, means, **options) is means  # nothing can be held out
        chosen = steps.choose_step_metric(vae, IMAGES[:2], codes, means, **options)
        if name == "mean":
            assert chosen is means
        else:
            np.testing.assert_array_equal(chosen.mean_metric, other)
            np.testing.assert_array_equal(chosen.position_metrics, np.broadcast_to(other, (4, 2, 2, 2)))


@pytest.mark.parametrize(("small", "codebook"), [(True, "whitened"), (True, "kmeans"), (False, "metric")])
def test_others_have_the_mean_metric(small, codebook, found, request):
    if not small:
        request.getfixturevalue("large")
    tokenizer = fit(codebook, probes=3)
    measured = measure(encode, decode, IMAGES, statistics="tokens", probes=3, **OPTIONS)
    assert (measured.crops is None) == small
    assert not found
    wanted = np.asarray(measured.statistics.position_metrics, np.float32).mean(axis=(0, 1))
    np.testing.assert_array_equal(tokenizer.mean_metric, wanted)
    recipe = Recipe(codebook, K, seed=3)
    np.testing.assert_array_equal(tokenizer.codebook.codes, fit_codes(recipe, measured.latents, measured.statistics))


def test_measurements_keep_their_crops(large, tmp_path):
    wanted = fit()
    measure(encode, decode, IMAGES, statistics="means", **OPTIONS).save(tmp_path / "m.npz")
    loaded = Measured.load(tmp_path / "m.npz")
    assert loaded.crops is not None
    assert loaded.crops.dtype == np.uint8
    assert {crop.tobytes() for crop in loaded.crops} == {image.tobytes() for image in IMAGES}
    tokenizer = Tokenizer.from_measured(encode, decode, loaded, num_codes=K, assigner=Whitened(), seed=3)
    np.testing.assert_array_equal(tokenizer.codes, wanted.codes)
    np.testing.assert_array_equal(tokenizer.mean_metric, wanted.mean_metric)


def test_one_image_of_a_fixed_grid_keeps_the_mean_metric(large, found):
    tokenizer = Tokenizer.fit(encode, decode_fixed, IMAGES[:1], num_codes=3, assigner=Whitened())
    assert tokenizer.codebook.position_metrics.shape == (4, 2, 2, 2)
    assert not found


def only_multiples_of_six(images):
    """An encoder with windows of 6 rows."""
    return encode(images.reshape(len(images), -1, 6, *images.shape[2:]).reshape(images.shape))


@pytest.mark.parametrize(
    ("functions", "number", "shape"),
    [
        ((encode, decode), 3, (10, 3, 2, 1)),  # 2 measure, 8 choose
        ((encode, decode_fixed), 3, (3, 6, 4, 1)),  # no image twice
        ((encode, decode_fixed), 30, (5, 6, 4, 1)),  # 1 and 4
        ((only_multiples_of_six, decode), 30, (5, 6, 4, 1)),
    ],
)
def test_crops_are_of_sizes_that_the_vae_takes(functions, number, shape, rng, monkeypatch):
    monkeypatch.setattr(steps, "_SIDE", 3)
    monkeypatch.setattr(step_metric, "_PIXELS", 12)
    images = rng.permutation(number * 24).reshape(number, 6, 4, 1).astype(np.float32) / (number * 24)
    vae = vae_of_shapes(functions[0], functions[1], (6, 4, 1), (6, 2, 2))
    crops = draw_step_crops(vae, images, seed=0)
    assert crops.shape == shape
    levels = np.round(255 * images).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(levels[..., 0], shape[1:3], axis=(1, 2))
    where = [np.argwhere((windows == crop[..., 0]).all(axis=(-2, -1))) for crop in crops]
    assert all(len(places) for places in where)
    assert {int(place[0]) for places in where for place in places} >= (set(range(3)) if number == 3 else set())
    assert len({crop.tobytes() for crop in crops}) > len(crops) // 2
    np.testing.assert_array_equal(crops, draw_step_crops(vae, images, seed=0))


def test_crops_that_choose_are_of_other_images_than_those_that_measure(rng, monkeypatch):
    monkeypatch.setattr(step_metric, "_PIXELS", 12)
    images = np.round(255 * rng.random((30, 6, 4, 1))).astype(np.uint8)
    crops = draw_step_crops(vae_of_shapes(encode, decode_fixed, (6, 4, 1), (6, 2, 2)), images, seed=0)
    measured = {image.tobytes() for image in draw(images, 25, 0)}
    assert len(crops) == 5
    assert not measured & {crop.tobytes() for crop in crops}
