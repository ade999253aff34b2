"""The programs as a user runs them: help, a whole small run that is killed and goes on, and careless use."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.generation import measure as study
from benchmarks.generation.runs import Trained
from benchmarks.generation.scores import Validation
from benchmarks.generation.systems import System
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.metric.batched import token_metrics
from geovq.models.config import ASSIGNMENTS
from geovq.models.spatial_vae import callables
from geovq.scores.sets import Nearest
from geovq.storage import load_arrays, save_arrays
from geovq.validation import InputError
from tests.kills import KILLS, outputs, pipeline
from tests.programs import process, program
from train.config.options import Config, EvaluateOptions, SampleOptions
from train.data.datasets import load
from train.evaluation import scoring
from train.evaluation.judge import Judge, Judged
from train.gpt import run as train_gpt
from train.pipeline import STAGES
from train.run.folder import Run, stored_config
from train.sample import draw
from train.stages.image_tokens import load as load_tokens
from train.stages.inputs import GEOMETRY, class_number, load_geometry
from train.stages.networks import trained_vae
from train.stages.tokenizers import load_tokenizer, of_codebook

PROGRAMS = (
    *(
        f"train.{name}"
        for name in ("vae", "baseline", "codebook", "finetune", "classifier", "gpt", "sample", "evaluate", "pipeline")
    ),
    *(
        f"benchmarks.{name}"
        for name in (
            *(
                "accelerator",
                "encoding",
                "entropy",
                "generation",
                "geometry",
                "gpt",
                "medoids",
                "metric",
                "nearest",
                "perceptual",
                "pipeline",
            ),
            *("tables", "tokenizer", "tokenizer.picture"),
        )
    ),
)

TINY_VAE = [
    *("--dataset", "digits"),
    *("--vae.width", "4", "--vae.max-width", "8", "--vae.epochs", "4", "--vae.batch-size", "256"),
    *("--vae.checkpoint-every", "3"),
]
TINY = [
    *TINY_VAE,
    *("--codebook.codes", "8", "--codebook.measured-images", "20", "--codebook.neighbours", "4"),
    *("--codebook.codebooks", "kmeans", "euclidean", "geodesic"),
    *("--gpt.layers", "1", "--gpt.width", "16", "--gpt.heads", "2", "--gpt.epochs", "4", "--gpt.batch-size", "256"),
    *("--gpt.checkpoint-every", "3", "--gpt.label-smoothing", "0.1", "--gpt.start", "random"),
    *("--sample.per-class", "2"),
    *("--evaluate.assigns", "euclidean", "whitened", "local", "geodesic"),
]


VAL = load("digits").val_images.astype(np.float32) / 255


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    """A complete run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    pipeline(folder, TINY)
    return folder


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_the_commands_and_loads_no_jax(name):
    code = (
        "import sys, runpy, atexit; sys.argv = ['x', '--help']\n"
        "atexit.register(lambda: print('LOADED', sorted({'jax', 'numba', 'scipy', 'sklearn'} & set(sys.modules))))\n"
        f"runpy.run_module('{name}', run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    assert f"python -m {name}" in found.stdout
    assert "LOADED []" in found.stdout


def pooled(images: np.ndarray) -> Judged:
    """Means of patches as features, and the brightest of the first ten as the class."""
    features = images.reshape(len(images), 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    return Judged(features, features[:, 15:25].argmax(axis=1))


def test_generation_measures_what_evaluation_does_and_only_once(whole, tmp_path, monkeypatch):
    config = stored_config(whole)
    assert config is not None
    run, validation = Run(whole, config), Validation(*(part[:40] for part in (VAL, load("digits").val_labels)))
    judge = Judge(pooled, 0.9, pooled(VAL), pooled(VAL[:50]), Nearest(np.ones(50), np.zeros(50, int)), 10, "sha")
    system = System("kmeans", "whitened")
    trained = Trained(system, 0, run, None)
    lost = study._reconstructed(tmp_path / "generation", trained, 0, judge, validation)
    sampled, pictures, nearest = study._sampled(tmp_path / "generation", trained, judge, 40, 2)
    rows = lost + sampled
    assert (pictures.shape, nearest.shape) == ((10, 10, 28, 28, 1), (2, 10, 28, 28, 1))
    found = {(r["case"], r["score"]): r for r in rows if r.get("position") is None and r.get("guidance", 1.0) == 1.0}
    found["likelihood", "nats_per_token"] = next(r for r in rows if r.get("model") == "Transformer")
    results = json.loads((whole / "results.json").read_text())["rows"]
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
    with pytest.raises(TypeError):
        study._sampled(tmp_path / "generation", trained, judge._replace(fingerprint="another"), 40, 2)


def test_likelihoods_are_those_of_evaluation(whole):
    config = stored_config(whole)
    assert config is not None
    rows = study.nats_and_psnr(Trained(System("kmeans", "whitened"), 0, Run(whole, config), None))
    results = json.loads((whole / "results.json").read_text())["rows"]
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


def test_a_run_leaves_what_it_promises(whole):
    for name in ("config.json", "results.json", "report.html", "reconstructions.png", "codes.png", "samples.png"):
        assert (whole / name).stat().st_size > 500, name
    results = json.loads((whole / "results.json").read_text())
    assert results["meta"]["schedule"] == "custom"
    cells = {(row["codebook"], row["assign"]) for row in results["rows"] if row["case"] == "quantized"}
    assert len(cells) == 12
    for score in ("psnr", "ssim", "lpips", "usage", "latent_error", "metric_error", "geodesic_error"):
        assert sum(row["score"] == score and row["case"] == "quantized" for row in results["rows"]) == 12, score
    assert all(row["low"] <= row["value"] <= row["high"] for row in results["rows"] if row["low"] is not None)
    assert [json.loads(line)["epoch"] for line in (whole / "vae/metrics.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        4,
    ]


def test_amortised_tokens_are_evaluated_too(whole):
    config = stored_config(whole)
    assert config is not None
    run = Run(whole, dataclasses.replace(config, evaluate=EvaluateOptions(assigns=("whitened", "amortised"))))
    data = load("digits")
    images = data.test_images[:20] / np.float32(255)
    encode, decode = callables(trained_vae(run, images.shape[1:]))
    latents = encode_images(encode, images)
    test = scoring.Tested(images, latents, token_metrics(single(decode), latents))
    rows, shown = scoring.quantized(
        run, of_codebook(run, "kmeans", "whitened"), "kmeans", test, data.train_images[:160]
    )
    psnr = {row["assign"]: row["value"] for row in rows if row["score"] == "psnr"}
    assert psnr.keys() == shown.keys() == {"whitened", "amortised"}
    assert psnr["amortised"] > psnr["whitened"]


def test_each_assignment_is_best_by_its_own_measure(whole):
    rows = json.loads((whole / "results.json").read_text())["rows"]
    for codebook in ("kmeans", "euclidean", "geodesic"):
        for score, winner in (("latent_error", "euclidean"), ("metric_error", "local"), ("geodesic_error", "geodesic")):
            values = {r["assign"]: r["value"] for r in rows if r.get("codebook") == codebook and r["score"] == score}
            assert min(values.values()) == pytest.approx(values[winner], rel=1e-5), (codebook, score)


def test_killed_in_every_stage_it_ends_with_the_same_bits(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    folder = tmp_path / "broken"
    for kill in KILLS.values():
        pipeline(folder, TINY, kill)
    printed = pipeline(folder, TINY)
    assert "going on from step" in printed
    assert outputs(folder) == outputs(whole)
    logs = [(run / "gpt/metrics.jsonl").read_text() for run in (folder, whole)]
    assert logs[0] == logs[1]


def test_measured_latents_of_another_version_are_refused(whole, tmp_path):
    arrays, meta = load_arrays(whole / GEOMETRY)
    (tmp_path / GEOMETRY).parent.mkdir()
    run = Run(tmp_path, Config())
    save_arrays(tmp_path / GEOMETRY, arrays, meta)
    assert load_geometry(run).recall == 1
    save_arrays(tmp_path / GEOMETRY, arrays, {name: meta[name] for name in ("neighbours", "bridges", "dropped")})
    with pytest.raises(InputError, match=r"expected .*recall.*another version: remove .*codebook and run"):
        load_geometry(run)


def test_a_second_call_skips_everything_and_shows_the_table(whole):
    printed = pipeline(whole, [])
    assert all(f"{stage}: complete, skipped" in printed for stage in STAGES)
    assert "PSNR dB" in printed


def test_samples_of_one_class_by_name(whole, tmp_path):
    found = program(
        "sample", "--run", str(whole), "--label", "7", "--sample.per-class", "3", "--out", str(tmp_path / "7.png")
    )
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "7.png").read_bytes().startswith(b"\x89PNG")


def test_images_are_completed_under_guidance(whole, tmp_path):
    flags = ["--label", "7", "--keep", "4", "--sample.per-class", "4", "--out", str(tmp_path / "7.png")]
    found = program("sample", "--run", str(whole), *flags, "--sample.guidance", "100", "--sample.guidance-rises")
    assert found.returncode == 0, found.stderr
    assert np.asarray(Image.open(tmp_path / "7.png")).std() > 0

    config = stored_config(whole)
    assert config is not None
    tokens = load_tokens(Run(whole, config))
    first = tokens["test"][tokens["test_labels"] == 7][0]
    drawn = []
    for guidance in (1.0, 100.0):
        run = Run(whole, dataclasses.replace(config, sample=SampleOptions(per_class=4, guidance=guidance)))
        grids, images = draw(run, "7", keep=4)
        assert [(name, len(shown)) for name, shown in images.items()] == [("7", 4)]
        drawn.append(grids.reshape(4, -1))
        np.testing.assert_array_equal(drawn[-1][0], first)  # the test image itself
        np.testing.assert_array_equal(drawn[-1][:, :4], [first[:4]] * 4)
    assert (drawn[0] != drawn[1]).any()


def test_a_transformer_without_classes_is_trained_and_sampled(whole, tmp_path):
    for name in ("vae", "codebook"):
        shutil.copytree(whole / name, tmp_path / name)
    shutil.copy(whole / "config.json", tmp_path)
    config = stored_config(whole)
    assert config is not None
    options = dataclasses.replace(config.gpt, conditional=False, epochs=1)
    run = Run(tmp_path, dataclasses.replace(config, gpt=options))
    train_gpt(run)
    grids, images = draw(run)
    assert grids.shape == (20, 4, 4)
    assert {name: len(shown) for name, shown in images.items()} == {f"sample {i + 1}": 2 for i in range(10)}
    with pytest.raises(InputError, match="label: expected none"):
        draw(run, "7")
    with pytest.raises(InputError, match="finetune: expected a complete stage, found none"):
        draw(Run(tmp_path, dataclasses.replace(run.config, sample=SampleOptions(decoder="finetuned"))))


CARELESS = [
    ("sample", ["--label", "cat"], "label: expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, found 'cat'"),
    ("sample", ["--keep", "17"], "keep: expected 0..16, the tokens of an image, found 17"),
    ("sample", ["--sample.guidance", "-1"], "sample.guidance: expected at least 0"),
    ("sample", ["--sample.top-p", "2"], "sample.top_p: expected"),
    ("sample", ["--sample.per-class", "0"], "per_class: expected at least 1"),
    ("vae", ["--vae.epochs", "9"], "vae.epochs (4 there, 9 asked)"),
    ("gpt", ["--gpt.assign", "local"], "gpt.assign (whitened there, local asked)"),
    ("pipeline", ["--preset", "demo"], "vae.width (4 there, 16 asked)"),
]


@pytest.mark.parametrize(("name", "flags", "message"), CARELESS)
def test_careless_use_of_a_run_is_one_line(whole, name, flags, message):
    before = outputs(whole)
    found = program(name, "--run", str(whole), *flags)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert outputs(whole) == before


NEW = [
    ("pipeline", ["--data-dir", "/no/such/folder"], "/no/such/folder"),
    ("pipeline", ["--dataset", "digits", "--vae.batch-size", "5000"], "batch_size: expected 1..1297"),
    (
        "pipeline",
        ["--dataset", "digits", "--vae.grid", "40", "4"],
        "expected a grid within the image's 28x28, found 40x4",
    ),
    (
        "pipeline",
        ["--preset", "demo", "--gpt.assign", "amortised", "--gpt.price", "1"],
        "gpt.price: expected 0 for the pipeline, which knows no prior, found 1",
    ),
    (
        "pipeline",
        ["--preset", "demo", "--sample.decoder", "finetuned", "--gpt.codebook", "whitened"],
        "expected a run folder, found none; check --run",
    ),
    ("gpt", ["--preset", "demo", "--prior", "nowhere"], "expected a run folder, found none; check --run"),
    ("evaluate", ["--dataset", "digits"], "expected a run folder, found none; check --run"),
    ("sample", ["--label", "7"], "expected a run folder, found none; check --run"),
    ("codebook", ["--preset", "demo"], "expected a run folder, found none; check --run"),
]


@pytest.mark.parametrize(("name", "flags", "message"), NEW)
def test_careless_use_of_a_new_folder_is_one_line(tmp_path, name, flags, message):
    found = program(name, "--run", str(tmp_path / "new"), *flags)
    assert found.returncode == 2, found.stdout
    assert message in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_unknown_choices_are_refused_with_those_that_exist(tmp_path):
    for flags in (["--dataset", "cifar"], ["--gpt.assign", "nearest"], ["--preset", "huge"]):
        found = program("pipeline", "--run", str(tmp_path / "new"), *flags)
        assert found.returncode == 2
        assert flags[1] in found.stderr
        assert "Traceback" not in found.stderr
    assert not (tmp_path / "new").exists()


def test_a_wrong_option_can_be_corrected_in_the_same_folder(tmp_path):
    flags = ["--run", str(tmp_path / "new"), *TINY_VAE]
    refused = process("vae", *flags, "--vae.grid", "40", "4")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1), refused.stderr
    found = process("vae", *flags)
    assert found.returncode == 0, found.stderr


def test_dropped_components_run_to_the_end(tmp_path):
    """Two neighbours leave the graph in pieces; images that the codes cannot reach are counted, not crashed on."""
    folder = tmp_path / "drop"
    flags = [
        "--vae.grid",
        "1",
        "1",
        "--codebook.components",
        "drop",
        "--codebook.neighbours",
        "2",
        "--codebook.codes",
        "4",
    ]
    tokens = ["--codebook.measured-images", "200", "--gpt.codebook", "geodesic", "--gpt.assign", "geodesic"]
    tokens += ["--codebook.codebooks", "geodesic", "--evaluate.assigns", "geodesic"]
    printed = pipeline(folder, [*TINY, *flags, *tokens])
    results = json.loads((folder / "results.json").read_text())
    assert sum(results["meta"]["images_without_tokens"].values()) > 0
    assert "images have tokens without a code" in printed


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    """Files larger than 20 kB cannot be written; without that limit the same command goes on."""
    command = [sys.executable, "-m", "train.vae", "--run", str(tmp_path / "full"), *TINY_VAE]
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    limited = f"{limit}; sys.argv = {command[2:]!r}; runpy.run_module('train.vae', run_name='__main__', alter_sys=True)"
    found = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=120)
    assert found.returncode == 2, found.stderr
    assert [line for line in found.stderr.splitlines() if line.startswith("error: ") and "free space" in line]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr


def test_a_file_in_the_place_of_the_run_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    found = program("vae", "--run", str(tmp_path / "file"), *TINY_VAE)
    assert found.returncode == 2
    assert "expected a run folder, found a file; choose another --run" in found.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_gives_back_its_tokenizer(whole):
    images = load("digits").test_images[:5]
    for assign in ASSIGNMENTS:
        tokenizer = load_tokenizer(whole, "geodesic", assign)
        assert tokenizer.decode(tokenizer.encode(images)).shape == images.shape
    with pytest.raises(InputError, match=r"expected a run folder, found no config\.json"):
        load_tokenizer(whole / "vae")
    with pytest.raises(
        InputError, match=r"codebook: expected one that .* has \(kmeans, euclidean, geodesic\), found 'other'"
    ):
        load_tokenizer(whole, "other")


def test_damaged_codebook_is_refused_by_later_stages(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    path = folder / "codebook/kmeans.npz"
    path.write_bytes(path.read_bytes()[:-100])
    found = program("sample", "--run", str(folder))
    assert found.returncode == 2
    assert "kmeans.npz: expected a .npz written by this project, found one that is truncated" in found.stderr
    assert f"`python -m train.codebook --run {folder}` makes it again" in found.stderr


@pytest.mark.parametrize("damaged", ["codebook/geometry.npz", "codebook/euclidean.npz", "results.json", "samples.png"])
def test_damaged_outputs_are_made_again_with_the_same_content(whole, tmp_path, damaged):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    (folder / damaged).write_bytes((folder / damaged).read_bytes()[:-100])
    stage = {"codebook": "codebook", "results.json": "evaluate", "samples.png": "sample"}[damaged.split("/")[0]]
    found = program("pipeline", "--run", str(folder))
    assert found.returncode == 0, found.stderr
    assert f"{stage}: missing or damaged, made again: {damaged}" in found.stdout
    assert outputs(folder) == outputs(whole)
    assert (folder / f"{damaged}.damaged").exists()


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    newest = max((folder / "gpt/checkpoints").iterdir(), key=lambda step: int(step.name) if step.name.isdigit() else -1)
    for path in (newest / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-10])
    found = process("sample", "--run", str(folder))
    assert found.returncode == 2
    assert "python -m train.gpt" in found.stderr
    assert "Event loop" not in found.stderr
    found = process("gpt", "--run", str(folder))
    assert found.returncode == 0, found.stderr
    assert "going on from step" in found.stdout
    assert outputs(folder) == outputs(whole)


def test_sampling_checks_the_configuration(whole, tmp_path):
    found = program("sample", "--run", str(whole), "--split-seed", "3", "--out", str(tmp_path / "x.png"))
    assert found.returncode == 2
    assert "data.split_seed (0 there, 3 asked)" in found.stderr


def test_class_names_in_any_case():
    names = ("T-shirt/top", "Trouser")
    assert class_number(" t-shirt/TOP", names) == 0
    with pytest.raises(InputError, match="T-shirt/top, Trouser, found 'Shirt'"):
        class_number("Shirt", names)
