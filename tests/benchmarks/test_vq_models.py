"""Trained VQ models: crops, a training that was interrupted, and the whole benchmark on tiny models."""

import json
import sys

import jax
import numpy as np
import pytest

from benchmarks.common.photographs import draw_batch, fixed_crops
from benchmarks.common.rows import mean_row, row
from benchmarks.vq_models import __main__ as program
from benchmarks.vq_models import training
from benchmarks.vq_models.schedules import SCHEDULES, Model
from benchmarks.vq_models.tables import tables

PHOTOGRAPHS = [np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), dtype=np.uint8) for i in range(3)]


def test_crops_are_a_function_of_the_seed_alone():
    crops = draw_batch(PHOTOGRAPHS, 16, 10, 0, 5)
    np.testing.assert_array_equal(crops, draw_batch(PHOTOGRAPHS, 16, 10, 0, 5))
    assert (crops != draw_batch(PHOTOGRAPHS, 16, 10, 0, 6)).any()
    fixed = fixed_crops(PHOTOGRAPHS, 16, 3)
    assert fixed.shape == (9, 16, 16, 3)
    np.testing.assert_array_equal(fixed[1], PHOTOGRAPHS[0][2:18, 7:23])  # the centre


def test_bits_of_a_pixel_by_hand():
    model = Model("m", 32, 2, 8, d=4, num_codes=512, num_quantizers=1, steps=1, batch=1)
    assert model.bits_per_pixel == 9 * 64 / 1024
    assert model._replace(num_quantizers=4, downs=3).bits_per_pixel == 9 * 4 * 16 / 1024


def test_a_table_has_the_mean_speed_and_load_of_all_seeds():
    model = {"case": "m", "grid": "2x2x4", "codes": 16, "codes_per_token": 2, "bits_per_pixel": 0.5, "assign": "own"}
    rows = [
        found
        for seed, speed, load in [(0, 2.0, 1.0), (1, 4.0, 4.0)]
        for found in (
            row(model | {"seed": seed, "load": load}, "images_per_second", speed, 3),
            mean_row(model | {"seed": seed}, "psnr", np.full(3, 20.0)),
        )
    ]
    assert tables(rows).splitlines()[0] == "**m: grid 2x2x4, 16 codes of 2 quantizers, 0.50 bits a pixel**"
    assert tables(rows).splitlines()[-1] == "| own | 20 | - | - | 3 | 2.5 |"


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, monkeypatch):
    model = SCHEDULES["smoke"].models[1]._replace(steps=6)
    whole = training.train(model, PHOTOGRAPHS, tmp_path / "whole", seed=0)
    monkeypatch.setattr(training, "_SAVED_EVERY", 2)
    saves, save = [], training.save_arrays

    def fail_after_two(*args):
        save(*args)
        saves.append(args)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_arrays", fail_after_two)
    with pytest.raises(KeyboardInterrupt):
        training.train(model, PHOTOGRAPHS, tmp_path / "parts", seed=0)
    monkeypatch.setattr(training, "save_arrays", save)
    resumed = training.train(model, PHOTOGRAPHS, tmp_path / "parts", seed=0)
    for a, b in zip(jax.tree.leaves(whole[:3]), jax.tree.leaves(resumed[:3]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_whole_benchmark(tmp_path, monkeypatch, capsys):
    image = pytest.importorskip("PIL.Image")
    for folder in ("bsds500/train", "kodak"):
        (tmp_path / folder).mkdir(parents=True)
        for i, photograph in enumerate(PHOTOGRAPHS):
            image.fromarray(photograph).save(tmp_path / folder / f"{i}.png")
    command = ["vq_models", "--photographs", str(tmp_path), "--run", str(tmp_path / "run"), "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, "--schedule", "smoke"])
    program.main()
    found = json.loads((tmp_path / "vq_models_part.json").read_text())
    least = [row["value"] for row in found["rows"] if row["score"] == "psnr_won_least" and row["assign"] != "whitened"]
    assert len(least) >= 6
    assert min(least) > -0.1  # before intensities are clipped, no image is worse than with its own tokens
    assert "dB more than own tokens" in tables(found["rows"])
    capsys.readouterr()
    program.main()  # nothing is trained or measured again
    assert "step" not in capsys.readouterr().out.split("\n")[0]
    assert json.loads((tmp_path / "vq_models_part.json").read_text())["rows"] == found["rows"]
