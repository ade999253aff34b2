"""The training loop on one number: early stopping, the best parameters, and crashes at every write."""

import contextlib
import functools
import json
import math
import os
import pathlib
import signal
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from geovq.cli import progress
from geovq.cli.interruption import working
from geovq.validation import InputError
from train.config.options import VAEOptions
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import GradientTask, Task
from train.run.checkpoint import Checkpoints

DATA = np.arange(10, dtype=np.float32) / 10


def schedule(epochs: int, patience: int = 0) -> Schedule:
    return Schedule(examples=10, batch_size=3, epochs=epochs, patience=patience, checkpoint_every=2, seed=0)


class MeanTask(GradientTask):
    """Learns the mean of the data; its validation loss is scripted by epoch, or the true one."""

    def __init__(self, validation: Sequence[float] | None = None, average: float = 0.0):
        super().__init__({"mean": jnp.float32(5)}, optax.sgd(0.1), average)
        self.script = None if validation is None else iter(validation)
        self.seen: list[float] = []

    def loss(self, params, key, *batch):
        value = jnp.mean((params["mean"] - batch[0]) ** 2)
        return value, {"loss": value, "mean": params["mean"]}

    def batch(self, indices):
        return (DATA[indices],)

    def validate(self, state):
        self.seen.append(float(state["params"]["mean"]))
        if self.script is not None:
            return {"loss": next(self.script)}
        return {"loss": float(np.mean((self.seen[-1] - DATA) ** 2))}


def train(folder: pathlib.Path, task: Task, length: Schedule, **how) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    loop.train(folder, "test", task, length, lambda: None, **how)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore_part("best")
    assert found is not None
    return found


def log(folder: pathlib.Path) -> list[dict[str, float]]:
    """The rows of a log, without the checksums of their lines."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "sha256"} for row in rows]


def test_it_learns_and_logs_the_mean_of_every_epoch(tmp_path):
    best = train(tmp_path, MeanTask(), schedule(20))
    assert abs(best["mean"] - DATA.mean()) < 0.1
    rows = log(tmp_path)
    assert [row["epoch"] for row in rows] == list(range(1, 21))
    assert [row["step"] for row in rows[:3]] == [3, 6, 9]  # whole batches only
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert rows[0].keys() == {"epoch", "step", "train_loss", "train_mean", "val_loss"}


def test_progress_shows_the_epoch_so_far_and_the_last_validation(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SETTLE_EVERY", 2)
    train(tmp_path, MeanTask(), schedule(2))
    rows, lines = log(tmp_path), [line for line in capsys.readouterr().out.splitlines() if "steps" in line]
    assert "train_loss" in lines[1]  # two steps of three
    assert "val_loss" not in lines[1]
    assert f"train_loss {rows[0]['train_loss']:.4g}" in lines[2]
    assert f"val_loss {rows[0]['val_loss']:.4g}" in lines[4]
    assert "train_loss" in lines[4]


def test_the_best_parameters_are_kept(tmp_path):
    script = [3.0, 1.0, 2.0, 1.5]
    best = train(tmp_path, MeanTask(script), schedule(4))
    reference = train(tmp_path / "two", MeanTask([3.0, 1.0]), schedule(2))
    assert best["mean"] == reference["mean"]


@pytest.mark.parametrize(("patience", "epochs"), [(0, 8), (2, 5), (1, 4)])
def test_it_stops_when_validation_does_not_improve(patience, epochs, tmp_path):
    script = [5.0, 4.0, 3.0, 3.5, 3.2, 2.9, 3.0, 3.0]
    train(tmp_path, MeanTask(script), schedule(8, patience))
    assert len(log(tmp_path)) == epochs


def test_a_finished_training_is_not_gone_on_with(tmp_path):
    train(tmp_path, MeanTask([2.0, 3.0, 4.0, 1.0]), schedule(4, patience=2))
    train(tmp_path, MeanTask([]), schedule(4, patience=2))
    assert len(log(tmp_path)) == 3


@pytest.mark.optimised
@pytest.mark.parametrize("steps_per_call", [2, 3, 20])
def test_steps_of_one_call_are_the_steps_one_by_one(steps_per_call, tmp_path):
    longer = schedule(6)._replace(batch_size=1, checkpoint_every=7)
    train(tmp_path / "one", MeanTask(), longer, steps_per_call=1)
    train(tmp_path / "many", MeanTask(), longer, steps_per_call=steps_per_call)
    for one, many in zip(log(tmp_path / "one"), log(tmp_path / "many"), strict=True):
        assert one.keys() == many.keys()
        np.testing.assert_allclose(list(one.values()), list(many.values()), rtol=1e-6)


def test_the_average_follows_the_weights_and_leaves_their_training_alone():
    plain, task, key, batch = MeanTask(), MeanTask(average=0.6), jax.random.key(0), jnp.ones(3)
    alone, state = plain.initial_state(), task.initial_state()
    expected = 5.0
    for number in range(1, 30):
        alone, _ = plain.step(alone, key, batch)
        state, _ = task.step(state, key, batch)
        kept = min(0.6, number / (9 + number))
        expected = kept * expected + (1 - kept) * float(alone["params"]["mean"])
        assert state["trained"]["params"]["mean"] == alone["params"]["mean"]
        np.testing.assert_allclose(state["params"]["mean"], expected, rtol=1e-5)


def test_an_average_is_what_is_kept(tmp_path):
    task = MeanTask(average=0.9)
    best = train(tmp_path, task, schedule(4))
    assert best["mean"] == np.float32(min(task.seen))
    assert sorted(task.seen, reverse=True) == task.seen


class CrashError(Exception):
    """Stands for kill -9."""


@pytest.fixture(scope="module")
def whole_training(tmp_path_factory):
    """Folder and best parameters of a training that was not interrupted."""

    @functools.cache
    def make(average, steps_per_call):
        folder = tmp_path_factory.mktemp("whole")
        return folder, train(folder, MeanTask(average=average), schedule(3), steps_per_call=steps_per_call)

    return make


@pytest.mark.optimised
@pytest.mark.parametrize(("average", "steps_per_call"), [(0.0, 1), (0.9, 2)])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_before_or_after_any_checkpoint_changes_nothing(
    number, after, average, steps_per_call, whole_training, tmp_path, monkeypatch
):
    def run(folder):
        return train(folder, MeanTask(average=average), schedule(3), steps_per_call=steps_per_call)

    uninterrupted, whole = whole_training(average, steps_per_call)
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
    assert log(tmp_path / "broken") == log(uninterrupted)


def test_a_line_of_the_log_that_was_cut_off_is_written_again(tmp_path):
    whole = tmp_path / "whole"
    train(whole, MeanTask(), schedule(3))
    path = whole / "metrics.jsonl"
    text = path.read_text()
    path.write_text(text + '{"epoch": 4, "st')
    train(whole, MeanTask(), schedule(3))
    assert path.read_text() == text


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_not_finite_is_refused_and_the_past_kept(tmp_path):
    train(tmp_path, MeanTask(), schedule(1))

    class BrokenTask(MeanTask):
        def loss(self, params, key, *batch):
            return params["mean"] * 0, {"loss": jnp.float32(math.nan), "mean": jnp.float32(0)}

    with pytest.raises(
        InputError,
        match=r"test: expected finite losses, found NaN or infinity by step 4 of 9; choose a lower .*checkpoint of step 3",
    ):
        train(tmp_path, BrokenTask(), schedule(3))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.steps()[-1] == 3
    with pytest.raises(InputError, match="expected finite scores"):
        train(tmp_path, MeanTask([math.nan]), schedule(3))


@pytest.mark.filterwarnings("ignore:overflow")
def test_parameters_that_are_not_finite_are_not_saved(tmp_path):
    """Though the loss before the step is finite."""

    class BrokenTask(MeanTask):
        def step(self, state, key, *batch):
            _, means = super().step(state, key, *batch)
            return {**state, "params": {"mean": jnp.float32(jnp.inf)}}, {
                name: 0 * mean + 1 for name, mean in means.items()
            }

        def batch(self, indices):
            return (np.ones(len(indices), np.float32),)

        def validate(self, state):
            return {"loss": 1.0}

    with pytest.raises(InputError, match="test: expected finite parameters, found NaN or infinity by step 1 of 1"):
        train(tmp_path, BrokenTask(), schedule(1)._replace(examples=3))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.steps() == []


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """As in a program; processes of pytest-xdist have others."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signals", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", [0, 1, 2, 4])
def test_a_signal_stops_after_the_step_and_nothing_changes(at, signals, tmp_path, capsys):
    """Also one that a callback swallows: the loop asks."""

    class StoppedTask(MeanTask):
        calls = 0

        def batch(self, indices):
            if len(indices) == 3:
                if self.calls == at:
                    os.kill(os.getpid(), signals)
                self.calls += 1
            return super().batch(indices)

    train(tmp_path / "whole", MeanTask(), schedule(3))
    with pytest.raises(KeyboardInterrupt), working():
        train(tmp_path / "stopped", StoppedTask(), schedule(3))
    assert f"step {at + 1} of 9 is saved" in capsys.readouterr().out
    with Checkpoints(tmp_path / "stopped/checkpoints") as checkpoints:
        assert checkpoints.steps()[-1] == at + 1
    train(tmp_path / "stopped", MeanTask(), schedule(3))
    assert log(tmp_path / "stopped") == log(tmp_path / "whole")


def test_a_signal_outside_of_a_loop_stops_what_counts_its_progress():
    """Where KeyboardInterrupt was swallowed."""
    with working(), progress.Progress("x", 3, "images") as count:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            count()


@pytest.mark.parametrize("change", [("1", "3"), ("sha256", "sha257")])
def test_a_changed_line_of_the_log_is_left_out_and_named(change, tmp_path, capsys):
    train(tmp_path, MeanTask(), schedule(3))
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].replace(*change), *lines[1:], ""]))
    train(tmp_path, MeanTask(), schedule(3))
    assert path.read_text().splitlines() == lines[1:]
    assert "line 1 is damaged and left out" in capsys.readouterr().out


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(InputError, match=r"batch_size: expected 1\.\.100, the number of training images, found 128"):
        Schedule.of(100, VAEOptions())
