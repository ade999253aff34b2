"""Programs beside the pipeline: fine-tuning, baselines trained end to end, a VAE at a target rate."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import entropy
from benchmarks.perceptual import scored, short
from geovq.models.quantizers import grid_codes
from geovq.numerics.linalg import eigen_root
from geovq.scores import reconstruction as scores
from geovq.storage import load_arrays
from geovq.tokenizer.entropy_constrained import assign_entropy_constrained, code_nats
from geovq.validation import InputError
from tests.programs import program
from tests.train.test_programs import TINY_VAE
from train import finetune, gpt, sample
from train.config.options import FinetuneOptions, GPTOptions, SampleOptions
from train.data.datasets import load
from train.evaluation.judge import Judge
from train.run.folder import Run, stored_config
from train.stages import image_tokens, networks
from train.stages import inputs as stages
from train.stages.networks import trained_classifier
from train.stages.rounds import image_costs
from train.stages.tokenizers import load_baseline, load_finetuned, load_tokenizer

CODEBOOK = ["--codebook.codes", "8", "--codebook.measured-images", "20", "--codebook.neighbours", "4"]
ROUNDS = [
    *("--finetune.assigns", "whitened", "joint", "--finetune.probes", "4", "--finetune.images", "256"),
    *("--finetune.val-images", "40", "--finetune.rounds", "2", "--finetune.epochs", "3", "2"),
    *("--finetune.batch-size", "128", "--finetune.checkpoint-every", "4", "--finetune.codebook", "whitened"),
]


def run(name: str, folder: pathlib.Path, *flags: str) -> str:
    found = program(name, "--run", str(folder), *flags)
    assert found.returncode == 0, found.stderr
    return found.stdout


def run_of(folder: pathlib.Path) -> Run:
    config = stored_config(folder)
    assert config is not None
    return Run(folder, config)


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> pathlib.Path:
    """A run with a VAE and codebooks."""
    folder = tmp_path_factory.mktemp("runs") / "started"
    run("vae", folder, *TINY_VAE)
    run("codebook", folder, "--dataset", "digits", "--codebook.codebooks", "kmeans", "whitened", *CODEBOOK)
    return folder


@pytest.fixture(scope="module")
def tuned(started, tmp_path_factory) -> tuple[pathlib.Path, str]:
    """The same, fine-tuned, and what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    shutil.copytree(started, folder)
    return folder, run("finetune", folder, *ROUNDS)


def test_fine_tuning_improves_reconstruction(tuned):
    folder, printed = tuned
    assert "dB on 40 validation images after round 0" in printed
    images = load("digits").test_images[:100]
    target = images.astype(np.float32) / 255
    for assign in ("whitened", "joint"):
        before, after = load_tokenizer(folder, "whitened", assign), load_finetuned(folder, assign)
        errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (after, before)]
        assert errors[0] < errors[1]
    np.testing.assert_array_equal(  # the encoder stays
        encoded(load_finetuned(folder), images), encoded(load_tokenizer(folder), images)
    )


def encoded(tokenizer, images):
    return np.asarray(tokenizer._encode(images.astype(np.float32) / 255))


def test_fine_tuning_that_was_killed_ends_with_the_same_bits(tuned, started, tmp_path, monkeypatch):
    """Killed at its fourth checkpoint of each call, until it is complete."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    folder = tmp_path / "killed"
    shutil.copytree(started, folder)
    code = (
        "import os, runpy, signal, sys\n"
        "from train.run.checkpoint import Checkpoints\n"
        "save, calls = Checkpoints.save, iter(range(100))\n"
        "def killing(self, step, state):\n"
        "    save(self, step, state)\n"
        "    if next(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Checkpoints.save = killing\n"
        f"sys.argv = {['finetune', '--run', str(folder), *ROUNDS]!r}\n"
        "runpy.run_module('train.finetune', run_name='__main__', alter_sys=True)"
    )
    killed = 0
    while (found := subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)).returncode:
        assert found.returncode == -9, found.stderr
        killed += 1
    assert killed >= 1
    for mine, theirs in zip(*(load_arrays(f / "finetune/tokenizer.npz") for f in (folder, tuned[0])), strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_what_fine_tuning_lowers_is_the_squared_error_and_the_price_of_lpips(rng):
    images, decoded = rng.random((2, 3, 28, 28, 1)).astype(np.float32)
    errors = ((images - decoded) ** 2).sum(axis=(1, 2, 3))
    plain = image_costs(FinetuneOptions(), images, decoded)
    assert plain.keys() == {"squared_error", "cost"}
    np.testing.assert_allclose(plain["cost"], errors, rtol=1e-5)
    priced = image_costs(FinetuneOptions(perceptual=20), images, decoded)
    np.testing.assert_allclose(priced["lpips"], scores.lpips(images, decoded), rtol=1e-4)
    np.testing.assert_allclose(priced["cost"], errors + 20 * priced["lpips"], rtol=1e-5)


def test_a_price_of_lpips_lowers_it(started, tmp_path):
    folder = tmp_path / "perceptual"
    shutil.copytree(started, folder)
    flags = ["--finetune.rounds", "1", "--finetune.epochs", "2", "--finetune.val-images", "40"]
    printed = run("finetune", folder, *flags, "--finetune.perceptual", "1000", "--finetune.batch-size", "128")
    before, after = (float(line.split("LPIPS ")[1].split()[0]) for line in printed.splitlines() if "LPIPS" in line)
    assert after < 0.95 * before


def test_a_price_is_scored_on_validation_images(tuned):
    made = run_of(tuned[0])
    images, tokenizer = load("digits").val_images[:40] / np.float32(255), load_finetuned(tuned[0])
    decoded = tokenizer.decode(tokenizer.encode(images))
    found = {row["score"]: row for row in scored(made, 40)}
    assert found["psnr"]["value"] == pytest.approx(scores.psnr(images, decoded).mean(), rel=1e-5)
    assert found["lpips"]["value"] == pytest.approx(scores.lpips(images, decoded).mean(), rel=1e-5)
    assert (found["psnr"]["price"], found["psnr"]["n"], found["psnr"]["codes"]) == (0, 40, 8)
    tuning = short(FinetuneOptions(assigns=("whitened", "joint"), rounds=3, epochs=(3, 8), perceptual=5.0))
    assert (tuning.assigns, tuning.rounds, tuning.epochs, tuning.perceptual) == (("whitened",), 1, (1,), 5.0)


TINY_GPT = [
    *("--gpt.layers", "1", "--gpt.width", "16", "--gpt.heads", "2", "--gpt.epochs", "2", "--gpt.batch-size", "256"),
    *("--gpt.average", "0.9"),
]


def test_a_transformer_of_fine_tuned_tokens_is_trained_and_sampled(tuned, tmp_path):
    folder = tmp_path / "tuned"
    shutil.copytree(tuned[0], folder)
    run("gpt", folder, "--gpt.codebook", "finetuned", "--gpt.assign", "whitened", *TINY_GPT)
    tokens = load_arrays(folder / "gpt/tokens.npz")[0]["test"]
    images = load("digits").test_images
    np.testing.assert_array_equal(tokens, load_finetuned(folder).encode(images).reshape(tokens.shape))
    run("sample", folder, "--out", str(tmp_path / "x.png"), "--sample.per-class", "2")
    assert (tmp_path / "x.png").stat().st_size > 500


def test_a_second_transformer_takes_the_tokens_of_the_first(tuned, tmp_path, monkeypatch):
    options = GPTOptions(
        codebook="finetuned",
        assign="whitened",
        layers=1,
        width=16,
        heads=2,
        epochs=1,
        batch_size=256,
        checkpoint_every=3,
    )
    made = run_of(tuned[0])

    def begun(name, **other):
        shutil.copytree(tuned[0], tmp_path / name)
        return Run(tmp_path / name, dataclasses.replace(made.config, gpt=dataclasses.replace(options, **other)))

    first, second = begun("first"), begun("second", seed=1)
    gpt.run(first)
    monkeypatch.setattr(image_tokens, "save", None)  # nothing is assigned again
    gpt.run(second, first)
    for part, tokens in image_tokens.load(first).items():
        np.testing.assert_array_equal(image_tokens.load(second)[part], tokens)
    with pytest.raises(
        InputError, match=r"another gpt.assign, whitened there and local here; name a run with the same"
    ):
        gpt.run(begun("other", assign="local"), first)
    with pytest.raises(InputError, match=r"another gpt.images, 0 there and 300 here"):
        gpt.run(begun("fewer", images=300), first)


def test_fewer_training_images_are_drawn_and_their_labels_with_them(started, tmp_path):
    shutil.copytree(started, tmp_path / "run")
    options = GPTOptions(codebook="whitened", images=300, batch_size=256)
    made = Run(tmp_path / "run", dataclasses.replace(run_of(started).config, gpt=options))
    data = stages.images(made.config.data)
    stage = made.begin("gpt", ("data", "vae", "codebook", "gpt"), {"data": data.sha256})
    assert stage is not None
    image_tokens.save(made, data, stage)
    found, dataset = image_tokens.load(made), data.dataset
    encoded = load_tokenizer(made.folder, "whitened").encode(dataset.train_images).reshape(-1, 16)
    drawn = np.sort(np.random.default_rng(made.config.data.split_seed).permutation(len(encoded))[:300])
    np.testing.assert_array_equal(found["train"], encoded[drawn])
    np.testing.assert_array_equal(found["train_labels"], dataset.train_labels[drawn])
    for part in ("val", "test"):
        assert len(found[part]) == len(found[f"{part}_labels"]) == len(getattr(dataset, f"{part}_images"))
    stage.finish("gpt/tokens.npz")
    with pytest.raises(InputError, match=r"expected tokens of all images, found those of 300 training images at most"):
        image_tokens.given(made, made, {"data": data.sha256}, "whitened")


@pytest.fixture(scope="module")
def expected(started, tmp_path_factory) -> tuple[Run, Run]:
    """A Transformer over whitened tokens, and one over tokens that the first expects."""
    options = GPTOptions(codebook="whitened", layers=1, width=16, heads=2, epochs=4, batch_size=256, learning_rate=1e-2)
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(started, folder / "first")
    first = Run(folder / "first", dataclasses.replace(run_of(started).config, gpt=options))
    gpt.run(first)
    shutil.copytree(started, folder / "priced")
    flags = ["--gpt.codebook", "whitened", "--gpt.assign", "amortised", "--gpt.price", "0.5"]
    run("gpt", folder / "priced", "--prior", str(first.folder), *flags, *TINY_GPT)
    return first, run_of(folder / "priced")


def test_tokens_with_a_price_are_what_the_prior_expects(expected):
    first, priced = expected
    images, tokenizer = load("digits").test_images, load_tokenizer(priced.folder, "whitened", "amortised")
    nats = code_nats(networks.trained_gpt(first))
    before, found = (image_tokens.load(made)["test"].reshape(-1, 4, 4) for made in (first, priced))
    again = assign_entropy_constrained(tokenizer, images, nats, price=0.5, start=before)
    np.testing.assert_array_equal(found, again)

    def costs(tokens):
        needed = np.take_along_axis(nats(tokens), tokens[..., None], axis=3).sum(axis=(1, 2, 3))
        return ((tokenizer.decode(tokens) - images / np.float32(255)) ** 2).sum(axis=(1, 2, 3)) + 0.5 * needed

    assert costs(found).mean() < 0.95 * costs(before).mean()


def test_prices_of_nats_are_scored_on_validation_images(expected):
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
        free, priced = (r["value"] for r in rows if r["score"] == score and r["nat_weight"] in (0.0, 0.4))
        assert priced < free


def test_a_price_wants_a_prior_of_the_same_tokenizer(expected, tuned, tmp_path):
    first, priced = expected
    shutil.copytree(tuned[0], tmp_path / "other")
    before = (tmp_path / "other/config.json").read_text()
    for asked, prior, message in (
        (
            dataclasses.replace(priced.config.gpt, price=0.0),
            first,
            "expected a price and --prior RUN, or neither, found 0 and",
        ),
        (priced.config.gpt, None, "found 0.5 and no prior; give both"),
        (
            dataclasses.replace(priced.config.gpt, codebook="kmeans"),
            first,
            "another gpt.codebook, whitened there and kmeans here",
        ),
        (priced.config.gpt, run_of(tuned[0]), "run `python -m train.gpt --run .*first"),
    ):
        made = Run(tmp_path / "other", dataclasses.replace(priced.config, gpt=asked))
        with pytest.raises(InputError, match=message):
            gpt.run(made, prior=prior)
        assert not (made.folder / "gpt").exists()
        assert (made.folder / "config.json").read_text() == before
    found = program("gpt", "--run", str(tmp_path / "other"), "--gpt.assign", "whitened", "--gpt.price", "1")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "gpt.price: expected 0, or gpt.assign amortised or joint, found 1 and whitened" in found.stderr


def test_priced_tokens_need_no_prior_once_they_are_there(expected, started, tmp_path, capsys):
    first, priced = expected
    gpt.run(priced)
    assert "gpt: complete, skipped" in capsys.readouterr().out
    shutil.copytree(started, tmp_path / "second")
    options = dataclasses.replace(priced.config.gpt, seed=1, epochs=1)
    second = Run(tmp_path / "second", dataclasses.replace(priced.config, gpt=options))
    gpt.run(second, tokens_of=priced, prior=first)
    np.testing.assert_array_equal(image_tokens.load(second)["train"], image_tokens.load(priced)["train"])
    shutil.copytree(started, tmp_path / "third")
    third = Run(tmp_path / "third", second.config)
    with pytest.raises(InputError, match=r"found another prior, .*; name a run with the same"):
        gpt.run(third, tokens_of=priced, prior=second)


def test_damaged_priced_tokens_are_not_made_again_without_a_price(expected, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "damaged")
    made = Run(tmp_path / "damaged", expected[1].config)
    (made.folder / "gpt/tokens.npz").write_bytes(b"damaged")
    with pytest.raises(InputError, match="expected a prior for tokens with a price, found none; give --prior"):
        gpt.run(made)


def test_tokens_without_a_record_are_refused(expected, tmp_path):
    first, priced = expected
    for made in (first, priced):
        shutil.copytree(made.folder, tmp_path / made.folder.name)
        (tmp_path / made.folder.name / "gpt/stage.json").unlink()
    lost, asked = (Run(tmp_path / made.folder.name, made.config) for made in (first, priced))
    with pytest.raises(InputError, match=r"expected a stage\.json that says"):
        gpt.run(asked)
    shutil.rmtree(asked.folder / "gpt")
    asked = Run(asked.folder, first.config)
    with pytest.raises(
        InputError, match=r"first: expected a record of its Transformer's stage, found none; run train\.gpt"
    ):
        gpt.run(asked, tokens_of=lost)


def test_samples_want_a_decoder_for_the_present_codes(expected, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "stale")
    sampled = SampleOptions(per_class=1, decoder="finetuned")
    options = FinetuneOptions(epochs=(1,), rounds=1, batch_size=256, val_images=40)
    made = Run(tmp_path / "stale", dataclasses.replace(expected[1].config, finetune=options, sample=sampled))
    finetune.run(made, expected[1])
    record = json.loads((made.folder / "finetune/stage.json").read_text())
    record["inputs"]["codebook"] = "another"
    (made.folder / "finetune/stage.json").write_text(json.dumps(record))
    with pytest.raises(
        InputError, match="expected a decoder that was fine-tuned for the present codebook, found one for"
    ):
        sample.draw(made)


def test_a_decoder_is_fine_tuned_on_the_tokens_of_a_transformer(expected, started, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "tuned")
    options = FinetuneOptions(epochs=(3,), rounds=1, batch_size=128, val_images=40, assigns=("joint",), images=128)
    made = Run(tmp_path / "tuned", dataclasses.replace(expected[1].config, finetune=options))
    finetune.run(made, expected[1])
    images, tokens = load("digits").test_images / np.float32(255), image_tokens.load(expected[1])["test"]
    before, after = load_tokenizer(started, "whitened"), load_finetuned(made.folder)
    errors = [((t.decode(tokens.reshape(-1, 4, 4)) - images) ** 2).sum() for t in (after, before)]
    assert errors[0] < 0.95 * errors[1]
    sampled = dataclasses.replace(made.config, sample=SampleOptions(per_class=1, decoder="finetuned"))
    grids, shown = sample.draw(Run(made.folder, sampled))
    np.testing.assert_array_equal(np.concatenate([*shown.values()]), after.decode(grids))
    for tokens_of, message in ((None, "expected --tokens-of RUN"), (expected[0], "from the present tokens")):
        with pytest.raises(InputError, match=message):
            finetune.run(made, tokens_of)
    kmeans = dataclasses.replace(made.config, finetune=dataclasses.replace(options, codebook="kmeans"))
    shutil.copytree(started, tmp_path / "kmeans")
    with pytest.raises(InputError, match=r"another gpt.codebook, whitened there and kmeans here"):
        finetune.run(Run(tmp_path / "kmeans", kmeans), expected[1])
    found = program("finetune", "--run", str(tmp_path / "tuned"), "--tokens-of", str(tmp_path / "nowhere"))
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "nowhere: expected a run folder, found no config.json" in found.stderr


@pytest.mark.parametrize("start", ["codes", "random"])
def test_tokens_start_with_the_rows_of_their_codes_if_asked(tuned, tmp_path, start):
    folder = tmp_path / "still"
    shutil.copytree(tuned[0], folder)
    still = ["--gpt.learning-rate", "1e-9", "--gpt.average", "0", "--gpt.epochs", "1", "--gpt.start", start]
    run("gpt", folder, "--gpt.codebook", "finetuned", "--gpt.assign", "whitened", *TINY_GPT, *still)
    made = run_of(folder)
    found, plain, codebook = networks.trained_gpt(made), networks.new_gpt(made), load_finetuned(folder).codebook
    placed = (codebook.codes - codebook.codes.mean(axis=0)) @ eigen_root(codebook.mean_metric)
    for rows, others in ((found.codes[...], plain.codes[...]), (found.head.kernel[...].T, plain.head.kernel[...].T)):
        projection = np.linalg.lstsq(placed, rows, rcond=None)[0]
        assert np.allclose(placed @ projection, rows, atol=1e-4) == (start == "codes")
        assert np.allclose(rows, others, atol=1e-5) == (start == "random")
        starts = np.corrcoef(np.concatenate([projection, found.start[...]]))[: len(projection), len(projection) :]
        assert np.abs(starts).max() < 0.9  # none of the projections is what classes start from


def test_a_transformer_of_a_baselines_tokens_is_trained_and_sampled(tmp_path):
    folder = tmp_path / "fsq"
    run("baseline", folder, *TINY_VAE, "--baseline.system", "fsq", "--baseline.levels", "3", "5")
    found = program("gpt", "--run", str(folder), "--gpt.codebook", "kmeans", *TINY_GPT)
    assert found.returncode == 2
    assert "vae: expected a complete stage" in found.stderr
    run("gpt", folder, "--gpt.codebook", "baseline", "--gpt.assign", "euclidean", *TINY_GPT)
    tokens = load_arrays(folder / "gpt/tokens.npz")[0]["test"]
    data = load("digits")
    expected = load_baseline(folder, data.train_images).encode(data.test_images)
    np.testing.assert_array_equal(tokens, expected.reshape(tokens.shape))
    run("sample", folder, "--out", str(tmp_path / "x.png"), "--sample.per-class", "2")
    assert (tmp_path / "x.png").stat().st_size > 500


def test_a_damaged_fine_tuned_tokenizer_is_refused(tuned, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tuned[0], folder)
    path = folder / "finetune/tokenizer.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"`python -m train\.finetune --run .*` makes it again"):
        load_finetuned(folder)


def test_a_vq_vae_is_fine_tuned_alike(tmp_path):
    run("baseline", tmp_path, *TINY_VAE, "--baseline.codes", "8")
    run("finetune", tmp_path, *ROUNDS[:-1], "vqvae")
    data = load("digits")
    images, target = data.test_images[:100], data.test_images[:100].astype(np.float32) / 255
    before, after = load_baseline(tmp_path, data.train_images, "joint"), load_finetuned(tmp_path, "joint")
    errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (after, before)]
    assert errors[0] < errors[1]
    np.testing.assert_array_equal(encoded(after, images), encoded(before, images))  # the encoder stays


@pytest.mark.parametrize(("system", "codes"), [("vqvae", 8), ("fsq", 15)])
def test_baselines_learn_and_take_our_assignments(system, codes, tmp_path):
    options = ["--baseline.system", system, "--baseline.codes", "8", "--baseline.levels", "3", "5"]
    longer = ["--vae.epochs", "12", "--vae.batch-size", "128"]
    run("baseline", tmp_path, *TINY_VAE, *longer, *options)
    rows = [json.loads(line) for line in (tmp_path / "baseline/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["val_psnr"] > rows[0]["val_psnr"]
    data = load("digits")
    images, target = data.val_images, data.val_images.astype(np.float32) / 255
    own = load_baseline(tmp_path, data.train_images)
    assert own.k == codes
    if system == "fsq":
        np.testing.assert_array_equal(own.codes, grid_codes((3, 5)))
    found = own.decode(own.encode(images))
    psnr = -10 * np.log10(((found - target) ** 2).mean(axis=(1, 2, 3))).mean()
    np.testing.assert_allclose(psnr, max(row["val_psnr"] for row in rows), atol=0.05)
    joint = own.replace(assign="joint")
    assert ((joint.decode(joint.encode(images)) - target) ** 2).sum() < ((found - target) ** 2).sum()


def test_a_run_of_fsq_has_no_codes_to_fine_tune(tmp_path):
    run("baseline", tmp_path, *TINY_VAE, "--baseline.system", "fsq", "--baseline.levels", "3", "3")
    found = program("finetune", "--run", str(tmp_path), "--finetune.codebook", "vqvae")
    assert found.returncode == 2
    assert "finetune.codebook: expected a VQ-VAE for vqvae, found a run whose baseline is fsq; run" in found.stderr


def test_a_vae_is_trained_to_a_rate(tmp_path):
    flags = ["--vae.epochs", "15", "--vae.batch-size", "64", "--vae.checkpoint-every", "1000"]
    run("vae", tmp_path, *TINY_VAE, *flags, "--bits", "4")
    reached = [json.loads(line) for line in (tmp_path / "vae/metrics.jsonl").read_text().splitlines()]
    assert abs(reached[0]["val_bits_per_token"] - 4) > 1
    assert abs(reached[-1]["val_bits_per_token"] - 4) < 0.5
    best = min(reached, key=lambda row: row["val_loss"])  # whose parameters are kept
    assert abs(best["val_bits_per_token"] - 4) < 0.5


def test_a_classifier_learns_and_says_how_well(tmp_path):
    printed = run("classifier", tmp_path, "--preset", "demo", "--classifier.epochs", "6")
    config = stored_config(tmp_path)
    assert config is not None
    classifier, accuracy = trained_classifier(Run(tmp_path, config), (28, 28, 1))
    assert f"{accuracy:.2%}" in printed
    data = load("digits")
    images = jnp.asarray(data.test_images, jnp.float32) / 255
    found = np.asarray(classifier(images)).argmax(axis=1)
    np.testing.assert_allclose((found == data.test_labels).mean(), accuracy)
    assert accuracy > 0.8
    assert classifier.features(images[:3]).shape == (3, 128)

    judge = Judge.of(Run(tmp_path, config))
    assert (judge.accuracy, judge.classes) == (accuracy, 10)
    np.testing.assert_array_equal(judge.test.classes, found)
    np.testing.assert_allclose(judge.test.features[:3], classifier.features(images[:3]), rtol=1e-4, atol=1e-4)
    nearest = judge.train.features[judge.nearest.indices[:5]]
    apart = np.linalg.norm(judge.test.features[:5] - nearest, axis=1)
    np.testing.assert_allclose(judge.nearest.distances[:5], apart, rtol=1e-3)

    path = tmp_path / "classifier/accuracy.json"
    path.write_text(path.read_text().replace(str(accuracy), "1.0"))
    with pytest.raises(InputError, match="expected the accuracy that was measured, found another"):
        trained_classifier(Run(tmp_path, config), (28, 28, 1))


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("finetune", ["--finetune.codebook", "metric"], "finetune.codebook: expected one that is built"),
        ("finetune", ["--finetune.codebook", "vqvae"], "baseline: expected a complete stage, found none"),
        ("finetune", ["--finetune.rounds", "0"], "finetune.rounds: expected at least 1, found 0"),
        ("codebook", ["--codebook.stages", "5"], "codebook.stages: expected 1..4, found 5"),
        (
            "codebook",
            ["--codebook.stages", "2", "--codebook.codebooks", "geodesic"],
            "expected only kmeans, whitened, metric, refined where tokens have 2 codes",
        ),
        ("baseline", ["--baseline.levels", "1"], "baseline.levels: expected at least 2"),
        ("vae", ["--bits", "-1"], "vae.bits: expected at least 0"),
    ],
)
def test_bad_options_are_one_line(name, flags, message, started):
    found = program(name, "--run", str(started), *flags)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
