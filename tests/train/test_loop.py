"""The training loop on one number: early stopping, the best parameters, and crashes at every write."""

import json
import math
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from geovq.validation import InputError
from train.config.options import VAEOptions
from train.loop import loop, progress, steps
from train.run.checkpoint import Checkpoints

pytestmark = pytest.mark.optimised

DATA = np.arange(10, dtype=np.float32) / 10


def schedule(epochs: int, patience: int = 0) -> steps.Schedule:
    return steps.Schedule(examples=10, batch_size=3, epochs=epochs, patience=patience, checkpoint_every=2, seed=0)


def model(validation: Sequence[float] | None = None, average: float = 0.0) -> steps.Model:
    """Learns the mean of the data; its validation loss is scripted by epoch, or the true one."""

    def loss(params, key, batch):
        value = jnp.mean((params["mean"] - batch) ** 2)
        return value, {"loss": value, "mean": params["mean"]}

    epoch = iter(range(1000))

    def validate(state):
        if validation is not None:
            return {"loss": validation[next(epoch)]}
        return {"loss": float(np.mean((np.asarray(state["params"]["mean"]) - DATA) ** 2))}

    begun = ({"mean": jnp.float32(5)}, loss, optax.sgd(0.1))
    started = steps.averaged(*begun, average) if average else steps.by_gradient(*begun)
    return steps.Model(*started, lambda indices: (DATA[indices],), validate)


def train(folder: pathlib.Path, trained: steps.Model, length: steps.Schedule, **how) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    loop.train(folder, "test", trained, length, lambda: None, **how)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore_part("best")
    assert found is not None
    return found


def log(folder: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_logs_the_mean_of_every_epoch(tmp_path):
    best = train(tmp_path, model(), schedule(60))
    assert abs(best["mean"] - DATA.mean()) < 0.1
    rows = log(tmp_path)
    assert [row["epoch"] for row in rows] == list(range(1, 61))
    assert [row["step"] for row in rows[:3]] == [3, 6, 9]  # whole batches only
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert rows[0].keys() == {"epoch", "step", "train_loss", "train_mean", "val_loss"}


def test_progress_shows_the_epoch_so_far_and_the_last_validation(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SETTLE_EVERY", 2)
    train(tmp_path, model(), schedule(2))
    rows, lines = log(tmp_path), [line for line in capsys.readouterr().out.splitlines() if "steps" in line]
    assert "train_loss" in lines[1]  # two steps of three
    assert "val_loss" not in lines[1]
    assert f"train_loss {rows[0]['train_loss']:.4g}" in lines[2]
    assert f"val_loss {rows[0]['val_loss']:.4g}" in lines[4]
    assert "train_loss" in lines[4]


def test_the_best_parameters_are_kept(tmp_path):
    script = [3.0, 1.0, 2.0, 1.5]
    best = train(tmp_path, model(script), schedule(4))
    reference = train(tmp_path / "two", model([3.0, 1.0]), schedule(2))
    assert best["mean"] == reference["mean"]


@pytest.mark.parametrize(("patience", "epochs"), [(0, 8), (2, 5), (1, 4)])
def test_it_stops_when_validation_does_not_improve(patience, epochs, tmp_path):
    script = [5.0, 4.0, 3.0, 3.5, 3.2, 2.9, 3.0, 3.0]
    train(tmp_path, model(script), schedule(8, patience))
    assert len(log(tmp_path)) == epochs


def test_a_finished_training_is_not_gone_on_with(tmp_path):
    train(tmp_path, model([2.0, 3.0, 4.0, 1.0]), schedule(4, patience=2))
    train(tmp_path, model([]), schedule(4, patience=2))
    assert len(log(tmp_path)) == 3


@pytest.mark.parametrize("steps_per_call", [2, 3, 20])
def test_steps_of_one_call_are_the_steps_one_by_one(steps_per_call, tmp_path):
    longer = schedule(6)._replace(batch_size=1, checkpoint_every=7)
    train(tmp_path / "one", model(), longer, steps_per_call=1)
    train(tmp_path / "many", model(), longer, steps_per_call=steps_per_call)
    for one, many in zip(log(tmp_path / "one"), log(tmp_path / "many"), strict=True):
        assert one.keys() == many.keys()
        np.testing.assert_allclose(list(one.values()), list(many.values()), rtol=1e-6)


def test_the_average_follows_the_weights_and_leaves_their_training_alone():
    def loss(params, key, batch):
        return jnp.sum((params["mean"] - batch) ** 2), {}

    plain, step = steps.by_gradient({"mean": jnp.float32(5)}, loss, optax.sgd(0.1))
    state, averaged_step = steps.averaged({"mean": jnp.float32(5)}, loss, optax.sgd(0.1), 0.6)
    expected = 5.0
    for number in range(1, 30):
        plain, _ = step(plain, None, jnp.float32(1))
        state, _ = averaged_step(state, None, jnp.float32(1))
        kept = min(0.6, number / (9 + number))
        expected = kept * expected + (1 - kept) * float(plain["params"]["mean"])
        assert state["trained"]["params"]["mean"] == plain["params"]["mean"]
        np.testing.assert_allclose(state["params"]["mean"], expected, rtol=1e-5)


def test_an_average_is_what_is_kept(tmp_path):
    def loss(params, key, batch):
        value = jnp.mean((params["mean"] - batch) ** 2)
        return value, {"loss": value}

    seen = []

    def validate(state):
        seen.append(float(state["params"]["mean"]))
        return {"loss": seen[-1]}

    begun = steps.averaged({"mean": jnp.float32(5)}, loss, optax.sgd(0.1), 0.9)
    best = train(tmp_path, steps.Model(*begun, lambda indices: (DATA[indices],), validate), schedule(4))
    assert best["mean"] == np.float32(min(seen))
    assert sorted(seen, reverse=True) == seen


class CrashError(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize(("average", "steps_per_call"), [(0.0, 1), (0.9, 2)])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_before_or_after_any_checkpoint_changes_nothing(
    number, after, average, steps_per_call, tmp_path, monkeypatch
):
    def run(folder):
        return train(folder, model(average=average), schedule(3), steps_per_call=steps_per_call)

    whole = run(tmp_path / "whole")
    save, calls = Checkpoints.save, iter(range(100))

    def crash(self, step, state):
        last = next(calls) == number
        if last and not after:
            raise CrashError
        save(self, step, state)
        if last:
            raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", crash)
        with pytest.raises(CrashError):
            run(tmp_path / "broken")
    broken = run(tmp_path / "broken")
    assert broken["mean"] == whole["mean"]
    assert log(tmp_path / "broken") == log(tmp_path / "whole")


def test_a_line_of_the_log_that_was_cut_off_is_written_again(tmp_path):
    whole = tmp_path / "whole"
    train(whole, model(), schedule(3))
    path = whole / "metrics.jsonl"
    text = path.read_text()
    path.write_text(text + '{"epoch": 4, "st')
    train(whole, model(), schedule(3))
    assert path.read_text() == text


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_not_finite_is_refused_and_the_past_kept(tmp_path):
    train(tmp_path, model(), schedule(1))
    whole = model()
    broken = whole._replace(
        step=lambda state, key, x: (
            whole.step(state, key, x)[0],
            {"loss": jnp.float32(math.nan), "mean": jnp.float32(0)},
        )
    )
    with pytest.raises(InputError, match="expected a finite loss, found NaN or infinity by step 4"):
        train(tmp_path, broken, schedule(3))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.steps()[-1] == 3
    with pytest.raises(InputError, match="expected finite scores"):
        train(tmp_path, model([math.nan]), schedule(3))


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(InputError, match=r"batch_size: expected 1\.\.100, the number of training images, found 128"):
        steps.Schedule.of(100, VAEOptions())
