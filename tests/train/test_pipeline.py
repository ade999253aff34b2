"""A whole small run, by all its stages: what it leaves, samples of it, and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.metric.batched import token_metrics
from geovq.models.spatial_vae import callables
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.validation import InputError
from tests.programs import program
from tests.runs import TINY, TINY_VAE, outputs, run_of, succeed
from train.config.names import ASSIGNERS
from train.config.options import Config, EvaluateOptions, SampleOptions
from train.data.datasets import load
from train.evaluation import scoring
from train.pipeline import STAGES
from train.run.folder import Run
from train.stages import gpt
from train.stages.image_tokens import load as load_tokens
from train.stages.inputs import GEOMETRY, class_number, load_geometry
from train.stages.networks import trained_vae
from train.stages.sampling import draw
from train.stages.tokenizers import load_tokenizer, of_codebook


def test_a_run_leaves_what_it_promises(whole):
    for name in ("config.json", "results.json", "report.html", "reconstructions.png", "codes.png", "samples.png"):
        assert (whole / name).stat().st_size > 500, name
    results = json.loads((whole / "results.json").read_text())
    assert results["meta"]["schedule"] == "custom"
    cells = {(row["codebook"], row["assign"]) for row in results["rows"] if row["case"] == "quantized"}
    assert len(cells) == 12
    for score in ("psnr", "ssim", "lpips", "usage", "latent_error", "metric_error", "geodesic_error"):
        assert sum(row["score"] == score and row["case"] == "quantized" for row in results["rows"]) == 12, score
    assert {row["n"] for row in results["rows"] if row["score"] == "psnr"} == {40}
    assert all(row["low"] <= row["value"] <= row["high"] for row in results["rows"] if row["low"] is not None)
    assert [json.loads(line)["epoch"] for line in (whole / "vae/metrics.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        4,
    ]


def test_amortised_tokens_are_evaluated_too(whole):
    config = run_of(whole).config
    run = Run(whole, dataclasses.replace(config, evaluate=EvaluateOptions(assigners=("whitened", "amortised"))))
    data = load("digits")
    images = data.test_images[:20] / np.float32(255)
    encode, decode = callables(trained_vae(run, images.shape[1:]))
    latents = encode_images(encode, images)
    test = scoring.Measured(images, latents, token_metrics(single(decode), latents))
    rows, shown = scoring.score_codebook(
        run, of_codebook(run, "kmeans", "whitened"), "kmeans", test, data.train_images[:160]
    )
    psnr = {row["assign"]: row["value"] for row in rows if row["score"] == "psnr"}
    assert psnr.keys() == shown.keys() == {"whitened", "amortised"}
    assert psnr["amortised"] > psnr["whitened"]


def test_each_assignment_is_best_by_its_own_measure(whole):
    rows = json.loads((whole / "results.json").read_text())["rows"]
    for codebook in ("kmeans", "whitened", "geodesic"):
        for score, winner in (("latent_error", "euclidean"), ("metric_error", "local"), ("geodesic_error", "geodesic")):
            values = {r["assign"]: r["value"] for r in rows if r.get("codebook") == codebook and r["score"] == score}
            assert min(values.values()) == pytest.approx(values[winner], rel=1e-5), (codebook, score)


def test_measured_latents_of_another_version_are_refused(whole, tmp_path):
    arrays, meta = load_arrays(whole / GEOMETRY)
    (tmp_path / GEOMETRY).parent.mkdir()
    run = Run(tmp_path, Config())
    save_arrays(tmp_path / GEOMETRY, arrays, meta)
    assert load_geometry(run).recall == 1
    save_arrays(tmp_path / GEOMETRY, arrays, {name: meta[name] for name in ("num_neighbours", "bridges", "dropped")})
    with pytest.raises(InputError, match=r"expected .*recall.*another version: remove .*codebook and run"):
        load_geometry(run)


def test_a_second_call_skips_everything_and_shows_the_table(whole):
    printed = succeed("pipeline", whole)
    assert all(f"{stage}: complete, skipped" in printed for stage in STAGES)
    assert "PSNR dB" in printed


def test_a_finished_run_without_report_and_options_is_completed(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    report = (folder / "report.html").read_text()
    for name in ("report.html", "config.json"):
        (folder / name).unlink()
    found = program("pipeline", "--run", str(folder))
    assert found.returncode == 0, found.stderr
    assert "config.json: expected a JSON file, found none; check the path. Its stages say what" in found.stderr
    assert (folder / "report.html").read_text()[-300:-200] == report[-300:-200]
    assert outputs(folder) == outputs(whole)


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

    config = run_of(whole).config
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
    config = run_of(whole).config
    options = dataclasses.replace(config.gpt, conditional=False, epochs=1)
    run = Run(tmp_path, dataclasses.replace(config, gpt=options))
    gpt.run(run)
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
    ("sample", ["--sample.guidance", "-1"], "sample.guidance: expected a number in 0..1e+30"),
    ("sample", ["--sample.top-p", "2"], "sample.top_p: expected"),
    ("sample", ["--sample.per-class", "0"], "per_class: expected 1..100,000"),
    ("vae", ["--vae.epochs", "9"], "vae.epochs (4 there, 9 asked)"),
    ("gpt", ["--gpt.assigner", "local"], "gpt.assigner (whitened there, local asked)"),
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
        ["--preset", "demo", "--gpt.assigner", "amortised", "--gpt.nat-weight", "1"],
        "gpt.nat_weight: expected 0 for the pipeline, which knows no prior, found 1",
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
    for flags in (["--dataset", "cifar"], ["--gpt.assigner", "nearest"], ["--preset", "huge"]):
        found = program("pipeline", "--run", str(tmp_path / "new"), *flags)
        assert found.returncode == 2
        assert flags[1] in found.stderr
        assert "Traceback" not in found.stderr
    assert not (tmp_path / "new").exists()


def test_a_wrong_option_can_be_corrected_in_the_same_folder(tmp_path):
    flags = ["--run", str(tmp_path / "new"), *TINY_VAE]
    refused = program("vae", *flags, "--vae.grid", "40", "4")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1), refused.stderr
    found = program("vae", *flags)
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_dropped_components_run_to_the_end(tmp_path):
    """Two neighbours leave the graph in pieces; images that the codes cannot reach are counted, not crashed on."""
    folder = tmp_path / "drop"
    flags = [
        "--vae.grid",
        "1",
        "1",
        "--codebook.components",
        "drop",
        "--codebook.num-neighbours",
        "2",
        "--codebook.num-codes",
        "4",
    ]
    tokens = ["--codebook.max-images", "200", "--gpt.codebook", "geodesic", "--gpt.assigner", "geodesic"]
    tokens += ["--codebook.codebooks", "geodesic", "--evaluate.assigners", "geodesic"]
    printed = succeed("pipeline", folder, *TINY, *flags, *tokens)
    results = json.loads((folder / "results.json").read_text())
    assert sum(results["meta"]["images_without_tokens"].values()) > 0
    assert "images have tokens without a code" in printed


def test_a_file_in_the_place_of_the_run_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    found = program("vae", "--run", str(tmp_path / "file"), *TINY_VAE)
    assert found.returncode == 2
    assert "expected a run folder, found a file; choose another --run" in found.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_a_run_gives_back_its_tokenizer(whole):
    images = load("digits").test_images[:5]
    for assigner in ASSIGNERS:
        tokenizer = load_tokenizer(whole, "geodesic", assigner)
        assert tokenizer.decode(tokenizer.encode(images)).shape == images.shape
    with pytest.raises(InputError, match=r"expected a run folder, found no config\.json"):
        load_tokenizer(whole / "vae")
    with pytest.raises(
        InputError, match=r"codebook: expected one that .* has \(kmeans, whitened, geodesic\), found 'other'"
    ):
        load_tokenizer(whole, "other")


def test_damaged_codebook_is_refused_by_later_stages(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    path = folder / "codebook/kmeans.npz"
    path.write_bytes(path.read_bytes()[:-100])
    found = program("sample", "--run", str(folder))
    assert found.returncode == 2
    assert (
        "kmeans.npz: expected a .npz file of arrays written by this project, found one that cannot be read"
        in found.stderr
    )
    assert f"`python -m train.codebook --run {folder}` makes it again" in found.stderr


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param("codebook/geometry.npz", marks=pytest.mark.slow),
        "codebook/whitened.npz",
        pytest.param("results.json", marks=pytest.mark.slow),
        "samples.png",
    ],
)
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


def test_sampling_checks_the_configuration(whole, tmp_path):
    found = program("sample", "--run", str(whole), "--split-seed", "3", "--out", str(tmp_path / "x.png"))
    assert found.returncode == 2
    assert "data.split_seed (0 there, 3 asked)" in found.stderr


def test_class_names_in_any_case():
    names = ("T-shirt/top", "Trouser")
    assert class_number(" t-shirt/TOP", names) == 0
    with pytest.raises(InputError, match="T-shirt/top, Trouser, found 'Shirt'"):
        class_number("Shirt", names)
