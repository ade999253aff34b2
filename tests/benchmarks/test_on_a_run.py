"""Benchmarks on a tiny run: they measure what evaluation measures."""

import dataclasses
import json
import shutil
import types
from typing import Any

import numpy as np
import pytest

from benchmarks import entropy
from benchmarks.generation import measure as study
from benchmarks.generation.runs import Trained
from benchmarks.generation.scores import Validation, briefly
from benchmarks.generation.systems import System
from benchmarks.perceptual import scored, short
from geovq.scores import reconstruction as scores
from geovq.scores.sets import Nearest
from geovq.tokenizer.entropy_constrained import code_nats
from tests.runs import run_of, succeed
from train.config.options import FinetuneOptions
from train.data.datasets import load
from train.evaluation.judge import Judge, Judged
from train.stages import image_tokens, networks
from train.stages.tokenizers import load_finetuned, load_tokenizer

pytestmark = pytest.mark.slow  # they train and sample

VAL = load("digits").val_images.astype(np.float32) / 255


def pooled(images: np.ndarray) -> Judged:
    """Means of patches as features, and the brightest of the first ten as the class."""
    features = images.reshape(len(images), 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    return Judged(features, features[:, 15:25].argmax(axis=1))


@pytest.fixture(scope="module")
def evaluated(whole, tmp_path_factory):
    """Results of the shared run on all test images."""
    folder = tmp_path_factory.mktemp("runs") / "evaluated"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("evaluate", "results.json"))
    succeed("evaluate", folder, "--evaluate.max-images", "0", "--evaluate.assigners", "whitened")
    return json.loads((folder / "results.json").read_text())["rows"]


def test_generation_measures_what_evaluation_does_and_only_once(whole, evaluated, tmp_path, monkeypatch):
    run, validation = run_of(whole), Validation(*(part[:40] for part in (VAL, load("digits").val_labels)))
    judge = Judge(pooled, 0.9, pooled(VAL), pooled(VAL[:50]), Nearest(np.ones(50), np.zeros(50, int)), 10, "sha")
    system = System("kmeans", "whitened")
    trained = Trained(system, 0, run, None)
    lost = study._reconstructed(tmp_path / "generation", trained, 0, judge, validation)
    sampled, pictures, nearest = study._sampled(tmp_path / "generation", trained, judge, 40, 2)
    rows = lost + sampled
    assert (pictures.shape, nearest.shape) == ((10, 10, 28, 28, 1), (2, 10, 28, 28, 1))
    found = {(r["case"], r["score"]): r for r in rows if r.get("position") is None and r.get("guidance", 1.0) == 1.0}
    found["likelihood", "nats_per_token"] = next(r for r in rows if r.get("model") == "Transformer")
    results = evaluated
    for case, score, wanted in (
        ("likelihood", "nats_per_token", {"case": "likelihood", "system": "ours", "split": "test"}),
        *(
            ("reconstructions", score, {"case": "quantized", "assign": "whitened"})
            for score in ("psnr", "ssim", "lpips")
        ),
        *(
            ("errors", f"{name}_error", {"case": "quantized", "assign": "whitened"})
            for name in ("latent", "metric", "geodesic")
        ),
    ):
        wanted |= {"codebook": "kmeans", "score": score}
        value = next(r["value"] for r in results if wanted.items() <= r.items())
        assert found[case, score]["value"] == pytest.approx(value, rel=1e-4), (case, score)
    assert {r.get("position") for r in rows if r["case"] == "likelihood"} == {None, *range(16)}
    of_sets = (
        "frechet",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "nearest_distance",
        "copied",
        "class_accuracy",
    )
    for score in of_sets:
        assert {case for case, name in found if name == score} == {"reconstructions", "samples"}, score
    assert {r["guidance"] for r in rows if r["case"] == "samples"} == {1.0, 1.5, 2.0}
    assert {r["n"] for r in rows if r["score"] == "frechet"} == {40}
    assert {r["n"] for r in rows if r["case"] == "samples" and r["score"] == "class_accuracy"} == {80}

    for made in ("draw_samples", "samples", "reconstructions", "errors"):  # what is there is not made again
        monkeypatch.setattr(study, made, None)
    monkeypatch.setattr(Judge, "of", lambda run: judge)
    tokenizers = types.SimpleNamespace(vae=lambda seed: run)
    generation: Any = types.SimpleNamespace(
        folder=tmp_path,
        schedule=types.SimpleNamespace(images=40, sets=2, seeds=(0, 1)),
        tokenizers=tokenizers,
        trained=lambda system, seed: trained,
        has=lambda asked, seed: asked is system or seed == 0,
        tokenizer_seed=lambda seed: 0,
        fixed_seeds={"codebook": 3},
    )
    once = dataclasses.replace(system)
    everything = study.measure(generation, run, {"ours": system, "once": once}, (0, 1), "name")
    for case, seeds in (
        ("likelihood", {("ours", 0), ("ours", 1), ("once", 0)}),
        ("errors", {("ours", 0), ("once", 0)}),
    ):
        assert {(r["name"], r["seed"]) for r in everything.rows if r["case"] == case and "seed" in r} == seeds
    fields = {**system.fields, "name": "ours", "codes": 8, "epochs": 4, "seed": 1}
    assert [r for r in everything.rows if r.get("name") == "ours" and r["seed"] == 1] == [fields | r for r in sampled]
    assert study.seeds_in(everything.rows, 7, generation) == {
        "split": 7,
        "codebook": 3,
        "networks 0": 0,
        "Transformer 1": 1,
    }
    assert [*everything.pictures] == ["real", "ours", "once"]
    np.testing.assert_array_equal(everything.pictures["ours"], pictures)
    assert everything.pictures["real"].shape == pictures.shape
    np.testing.assert_array_equal(everything.nearest["ours"], nearest)
    assert {r["system"] for r in everything.rows if r["case"] == "bracket"} == {"real", "real, trained on", "vae"}
    psnr = {r["system"]: r["value"] for r in everything.rows if r["case"] == "unpaired" and r["score"] == "psnr"}
    assert psnr["real"] < psnr["real, blurred"] < psnr["mean image"]  # why unpaired scores say nothing of images
    brief = {(r["case"], r["score"]): r for r in briefly(run, trained.tokenizer(), judge, 40, 2) if "position" not in r}
    assert brief["reconstructions", "psnr"]["value"] == pytest.approx(found["reconstructions", "psnr"]["value"])
    assert brief["samples", "frechet"]["value"] == pytest.approx(found["samples", "frechet"]["value"])
    with pytest.raises(TypeError):
        study._sampled(tmp_path / "generation", trained, judge._replace(fingerprint="another"), 40, 2)


def test_likelihoods_are_those_of_evaluation(whole, evaluated):
    rows = study.nats_and_psnr(Trained(System("kmeans", "whitened"), 0, run_of(whole), None))
    results = evaluated
    for split in ("validation", "test"):
        evaluated = {
            {"ours": "Transformer"}.get(r["system"], r["system"]): r["value"]
            for r in results
            if r["case"] == "likelihood" and r["split"] == split
        }
        of_split = [r for r in rows if r["split"] == split and r["case"] == "likelihood"]
        found = {r["model"]: r["value"] for r in of_split if r.get("position") is None}
        assert found == pytest.approx(evaluated, rel=1e-5)
        assert {r.get("position") for r in of_split} == {None, *range(16)}
    wanted = {"case": "quantized", "codebook": "kmeans", "assign": "whitened", "score": "psnr"}
    psnr = next(r["value"] for r in rows if r["score"] == "psnr")
    assert psnr == pytest.approx(next(r["value"] for r in results if wanted.items() <= r.items()), rel=1e-5)


def test_a_weight_of_lpips_is_scored_on_validation_images(tuned):
    made = run_of(tuned[0])
    images, tokenizer = load("digits").val_images[:40] / np.float32(255), load_finetuned(tuned[0])
    decoded = tokenizer.decode(tokenizer.encode(images))
    found = {row["score"]: row for row in scored(made, 40)}
    assert found["psnr"]["value"] == pytest.approx(scores.psnr(images, decoded).mean(), rel=1e-5)
    assert found["lpips"]["value"] == pytest.approx(scores.lpips(images, decoded).mean(), rel=1e-5)
    assert (found["psnr"]["lpips_weight"], found["psnr"]["n"], found["psnr"]["codes"]) == (0, 40, 8)
    tuning = short(FinetuneOptions(assigners=("whitened", "joint"), rounds=3, epochs=(3, 8), lpips_weight=5.0))
    assert (tuning.assigners, tuning.rounds, tuning.epochs, tuning.lpips_weight) == (("whitened",), 1, (1,), 5.0)


def test_weights_of_nats_are_scored_on_validation_images(expected):
    first, _ = expected
    images, tokenizer = (
        load("digits").val_images[:60] / np.float32(255),
        load_tokenizer(first.folder, "whitened", "amortised"),
    )
    nats, start = code_nats(networks.trained_gpt(first)), image_tokens.load(first)["val"][:60].reshape(-1, 4, 4)
    rows = entropy.measured(tokenizer, images, start, nats, "amortised")
    before = {r["score"]: r["value"] for r in rows if r["nat_weight"] is None}
    assert before["psnr"] == pytest.approx(scores.psnr(images, tokenizer.decode(start)).mean(), rel=1e-5)
    assert before["nats_per_token"] == pytest.approx(
        np.take_along_axis(nats(start), start[..., None], 3).mean(), rel=1e-5
    )
    assert before["changed"] == 0
    for score in ("nats_per_token", "psnr"):
        free, weighed = (r["value"] for r in rows if r["score"] == score and r["nat_weight"] in (0.0, 0.4))
        assert weighed < free
