"""Samples by guidance: which weights are drawn, and which training images are nearest to them."""

import dataclasses

import numpy as np
import pytest

from train.config.options import Config
from train.data.datasets import Dataset
from train.evaluation import guided
from train.run.folder import Run

NAMES = ("one", "two")


@pytest.fixture
def dataset(rng):
    train, val, test = (rng.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8) for count in (30, 2, 5))
    labels = [np.zeros(len(part), np.int32) for part in (train, val, test)]
    return Dataset(train, labels[0], val, labels[1], test, labels[2], NAMES)


@pytest.fixture
def run(monkeypatch, tmp_path, dataset):
    """A run whose samples are noisy training images, the first ones for the first class."""

    def draw(run):
        count, weight = run.config.sample.per_class, run.config.sample.guidance
        images = dataset.train_images[: 2 * count].reshape(2, count, 4, 4, 1) / np.float32(255) + np.float32(
            0.01 * weight
        )
        return None, dict(zip(NAMES, images, strict=True))

    monkeypatch.setattr(guided, "draw", draw)
    return Run(tmp_path, Config())


def conditional(run, dropout):
    gpt = dataclasses.replace(run.config.gpt, conditional=True, class_dropout=dropout)
    return Run(run.folder, dataclasses.replace(run.config, gpt=gpt))


def test_the_nearest_training_images_are_those_of_the_samples(run, dataset):
    found = guided.draw_guided(conditional(run, 0.1), dataset, per_class=3)
    wanted = dataset.train_images[:6].reshape(2, 3, 4, 4, 1) / 255
    np.testing.assert_allclose([found.nearest[name] for name in NAMES], wanted, atol=1e-6)
    assert found.distance == pytest.approx(0.01, rel=1e-4)
    assert found.test_distance > 0.1
    samples = found.by_guidance[4.0]["two"]
    np.testing.assert_allclose(samples, wanted[1] + 0.04, atol=1e-6)


def test_the_table_has_a_column_for_each_guidance_and_a_row_for_each_class(run, dataset):
    section = guided.samples_section(guided.draw_guided(conditional(run, 0.1), dataset))
    assert section.content["columns"] == ["class", "no guidance", "guidance 2", "guidance 4", "nearest training images"]
    assert [name for name, _ in section.content["rows"]] == list(NAMES)
    pictures = section.content["rows"][0][1]
    assert pictures[1].alt == "one, guidance 2"
    assert pictures[0].width == 4 * guided.PER_CLASS + 2 * (guided.PER_CLASS - 1)


def test_a_transformer_that_was_not_trained_for_guidance_is_sampled_without(run, dataset):
    found = guided.draw_guided(conditional(run, 0.0), dataset)
    assert list(found.by_guidance) == [1.0]
    section = guided.samples_section(found)
    assert section.title == "Samples by class"
    assert "uidance above" not in section.content["paragraphs"][0]
    by_itself = guided.samples_section(found._replace(by_class=False))
    assert (by_itself.title, by_itself.content["columns"][0]) == ("Samples", "sample")
