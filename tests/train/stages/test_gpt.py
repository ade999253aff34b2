"""How the Transformer is trained, and on which tokens: its own, another run's, or those that a prior expects."""

import dataclasses
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT, token_nats
from geovq.numerics.linalg import eigen_root
from geovq.storage.arrays import load_arrays
from geovq.tokenizer.entropy_constrained import assign_entropy_constrained, code_nats
from geovq.validation import InputError
from tests.programs import program
from tests.runs import TINY_GPT, run_of, succeed
from train.config.options import GPTOptions
from train.data.datasets import load
from train.loop.schedule import Schedule
from train.run.folder import Run
from train.stages import gpt, image_tokens, inputs, networks
from train.stages.gpt import GPTTask
from train.stages.tokenizers import load_finetuned, load_tokenizer

CLASSES = 4


@pytest.fixture
def tokens(rng):
    found: dict[str, np.ndarray] = {}
    for part, n in (("train", 256), ("val", 40)):
        labels = rng.integers(CLASSES, size=n)
        found |= {part: np.stack([labels, *[(labels + 1) % CLASSES] * 3], axis=1), f"{part}_labels": labels}
    return found


@pytest.mark.parametrize("conditional", [True, False])
def test_labels_tell_what_they_can_and_validation_is_a_likelihood(tokens, conditional):
    config = GPTConfig(
        num_codes=CLASSES,
        grid=(2, 2),
        classes=CLASSES if conditional else 0,
        class_dropout=0.25 if conditional else 0.0,
        layers=1,
        width=16,
        heads=2,
        dropout=0.0,
    )
    options = GPTOptions(conditional=conditional, label_smoothing=0.1, epochs=8, batch_size=16, learning_rate=3e-2)
    schedule = Schedule.of(len(tokens["train"]), options)
    model = GPT(config, rngs=nnx.Rngs(0))
    task = GPTTask(model, tokens, options, schedule)
    state, step = task.initial_state(), jax.jit(task.step)
    for number in range(schedule.steps):
        rows = np.arange(options.batch_size) + number * options.batch_size
        state, _ = step(state, jax.random.key(number), *task.batch(rows % len(tokens["train"])))
    trained = nnx.merge(nnx.graphdef(model), state["params"])

    def nats(labels: np.ndarray | None) -> np.ndarray:
        known = None if labels is None else jnp.asarray(labels)
        return np.asarray(token_nats(trained, jnp.asarray(tokens["val"]), known))

    found = nats(tokens["val_labels"] if conditional else None)
    first, rest = found[:, 0].mean(), found[:, 1:].mean()
    assert (first, rest) == pytest.approx((0.08 if conditional else math.log(CLASSES), 0.08), abs=0.07)
    if conditional:
        free = nats(np.full_like(tokens["val_labels"], CLASSES))
        assert free[:, 0].mean() == pytest.approx(math.log(CLASSES), abs=0.2)  # some labels are left out in training
    scores = task.validate(state)
    assert scores["loss"] == scores["nats_per_token"] == pytest.approx(found.mean(), rel=1e-5)  # without smoothing
    assert scores["bits_per_image"] == pytest.approx(found.mean() * 4 / math.log(2), rel=1e-5)


ONE_EPOCH = [*TINY_GPT, "--gpt.epochs", "1", "--gpt.average", "0.9", "--gpt.label-smoothing", "0"]


def test_a_transformer_of_fine_tuned_tokens_is_trained_and_sampled(tuned, tmp_path):
    folder = tmp_path / "tuned"
    shutil.copytree(tuned[0], folder)
    succeed("gpt", folder, "--gpt.codebook", "finetuned", "--gpt.assigner", "whitened", *ONE_EPOCH)
    tokens = load_arrays(folder / "gpt/tokens.npz")[0]["test"]
    images = load("digits").test_images
    np.testing.assert_array_equal(tokens, load_finetuned(folder).encode(images).reshape(tokens.shape))
    succeed("sample", folder, "--out", str(tmp_path / "x.png"), "--sample.per-class", "2")
    assert (tmp_path / "x.png").stat().st_size > 500


def test_a_second_transformer_takes_the_tokens_of_the_first(tuned, tmp_path, monkeypatch):
    options = GPTOptions(
        codebook="finetuned",
        assigner="whitened",
        layers=1,
        width=16,
        heads=2,
        epochs=1,
        batch_size=256,
        checkpoint_every=3,
    )
    made = run_of(tuned[0])

    def copied(name, **other):
        shutil.copytree(tuned[0], tmp_path / name)
        return Run(tmp_path / name, dataclasses.replace(made.config, gpt=dataclasses.replace(options, **other)))

    first, second = copied("first"), copied("second", seed=1)
    gpt.run(first)
    monkeypatch.setattr(image_tokens, "save", None)  # nothing is assigned again
    gpt.run(second, first)
    for part, tokens in image_tokens.load(first).items():
        np.testing.assert_array_equal(image_tokens.load(second)[part], tokens)
    with pytest.raises(
        InputError, match=r"another gpt.assigner, whitened there and local here; name a run with the same"
    ):
        gpt.run(copied("other", assigner="local"), first)
    with pytest.raises(InputError, match=r"another gpt.max_images, 0 there and 300 here"):
        gpt.run(copied("fewer", max_images=300), first)


def test_fewer_training_images_are_drawn_and_their_labels_with_them(started, tmp_path):
    shutil.copytree(started, tmp_path / "run")
    options = GPTOptions(codebook="whitened", max_images=300, batch_size=256)
    made = Run(tmp_path / "run", dataclasses.replace(run_of(started).config, gpt=options))
    data = inputs.images(made.config.data)
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
        image_tokens.read_grids(made, made, {"data": data.sha256}, "whitened")


@pytest.mark.slow
def test_tokens_with_a_weight_of_nats_are_what_the_prior_expects(expected):
    first, weighed = expected
    images, tokenizer = load("digits").test_images, load_tokenizer(weighed.folder, "whitened", "amortised")
    nats = code_nats(networks.trained_gpt(first))
    before, found = (image_tokens.load(made)["test"].reshape(-1, 4, 4) for made in (first, weighed))
    again = assign_entropy_constrained(tokenizer, images, nats, nat_weight=0.5, start=before)
    np.testing.assert_array_equal(found, again)

    def costs(tokens):
        needed = np.take_along_axis(nats(tokens), tokens[..., None], axis=3).sum(axis=(1, 2, 3))
        return ((tokenizer.decode(tokens) - images / np.float32(255)) ** 2).sum(axis=(1, 2, 3)) + 0.5 * needed

    assert costs(found).mean() < 0.95 * costs(before).mean()


@pytest.mark.slow
def test_a_weight_of_nats_wants_a_prior_of_the_same_tokenizer(expected, tuned, tmp_path):
    first, weighed = expected
    shutil.copytree(tuned[0], tmp_path / "other")
    before = (tmp_path / "other/config.json").read_text()
    for asked, prior, message in (
        (
            dataclasses.replace(weighed.config.gpt, nat_weight=0.0),
            first,
            "expected a weight and --prior RUN, or neither, found 0 and",
        ),
        (weighed.config.gpt, None, "found 0.5 and no prior; give both"),
        (
            dataclasses.replace(weighed.config.gpt, codebook="kmeans"),
            first,
            "another gpt.codebook, whitened there and kmeans here",
        ),
        (weighed.config.gpt, run_of(tuned[0]), "run `python -m train.gpt --run .*first"),
    ):
        made = Run(tmp_path / "other", dataclasses.replace(weighed.config, gpt=asked))
        with pytest.raises(InputError, match=message):
            gpt.run(made, prior=prior)
        assert not (made.folder / "gpt").exists()
        assert (made.folder / "config.json").read_text() == before
    found = program("gpt", "--run", str(tmp_path / "other"), "--gpt.assigner", "whitened", "--gpt.nat-weight", "1")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "gpt.nat_weight: expected 0, or gpt.assigner amortised or joint, found 1 and whitened" in found.stderr


@pytest.mark.slow
def test_weighed_tokens_need_no_prior_once_they_are_there(expected, started, tmp_path, capsys):
    first, weighed = expected
    gpt.run(weighed)
    assert "gpt: complete, skipped" in capsys.readouterr().out
    shutil.copytree(started, tmp_path / "second")
    options = dataclasses.replace(weighed.config.gpt, seed=1, epochs=1)
    second = Run(tmp_path / "second", dataclasses.replace(weighed.config, gpt=options))
    gpt.run(second, tokens_of=weighed, prior=first)
    np.testing.assert_array_equal(image_tokens.load(second)["train"], image_tokens.load(weighed)["train"])
    shutil.copytree(started, tmp_path / "third")
    third = Run(tmp_path / "third", second.config)
    with pytest.raises(InputError, match=r"found another prior, .*; name a run with the same"):
        gpt.run(third, tokens_of=weighed, prior=second)


@pytest.mark.slow
def test_damaged_weighed_tokens_are_not_made_again_without_a_prior(expected, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "damaged")
    made = Run(tmp_path / "damaged", expected[1].config)
    (made.folder / "gpt/tokens.npz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"expected a prior for gpt\.nat_weight, found none; give --prior"):
        gpt.run(made)


@pytest.mark.slow
def test_tokens_without_a_record_are_refused(expected, tmp_path):
    first, weighed = expected
    for made in (first, weighed):
        shutil.copytree(made.folder, tmp_path / made.folder.name)
        (tmp_path / made.folder.name / "gpt/stage.json").unlink()
    lost, asked = (Run(tmp_path / made.folder.name, made.config) for made in (first, weighed))
    with pytest.raises(InputError, match=r"expected a stage\.json that says"):
        gpt.run(asked)
    shutil.rmtree(asked.folder / "gpt")
    asked = Run(asked.folder, first.config)
    with pytest.raises(
        InputError, match=r"first: expected a record of its Transformer's stage, found none; run train\.gpt"
    ):
        gpt.run(asked, tokens_of=lost)


@pytest.mark.parametrize("start", ["codes", "random"])
def test_tokens_start_with_the_rows_of_their_codes_if_asked(tuned, tmp_path, start):
    folder = tmp_path / "still"
    shutil.copytree(tuned[0], folder)
    still = ["--gpt.learning-rate", "1e-9", "--gpt.average", "0", "--gpt.epochs", "1", "--gpt.start", start]
    succeed("gpt", folder, "--gpt.codebook", "finetuned", "--gpt.assigner", "whitened", *ONE_EPOCH, *still)
    made = run_of(folder)
    found, plain, tokenizer = networks.trained_gpt(made), networks.new_gpt(made), load_finetuned(folder)
    placed = (tokenizer.codes - tokenizer.codes.mean(axis=0)) @ eigen_root(tokenizer.mean_metric)
    for rows, others in ((found.codes[...], plain.codes[...]), (found.head.kernel[...].T, plain.head.kernel[...].T)):
        projection = np.linalg.lstsq(placed, rows, rcond=None)[0]
        assert np.allclose(placed @ projection, rows, atol=1e-4) == (start == "codes")
        assert np.allclose(rows, others, atol=1e-5) == (start == "random")
        starts = np.corrcoef(np.concatenate([projection, found.start[...]]))[: len(projection), len(projection) :]
        assert np.abs(starts).max() < 0.9  # none of the projections is what classes start from
