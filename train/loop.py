"""The training loop of both networks: epochs, checkpoints, validation, early stopping, and resuming to the bit.

Everything that a later step depends on is in the checkpoint or is a pure function of the seed and the step: the order of the
images, the keys, the running sums of what is logged. So a run that was killed ends as one that was not.
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import numpy as np
import optax

from geovq.checkpoint import Checkpoints
from geovq.checks import InputError
from geovq.data import epoch_order
from geovq.store import write_bytes
from train.progress import Progress


class Model(NamedTuple):
    """What is trained."""

    params: chex.ArrayTree
    optimizer: optax.GradientTransformation
    update: Callable[[chex.ArrayTree, np.ndarray, jax.Array], tuple[chex.ArrayTree, Mapping[str, jax.Array]]]
    """One step: {"params", "optimizer"}, the batch's indices and a key -> the next state, and means over the batch."""
    validate: Callable[[chex.ArrayTree], Mapping[str, float]]
    """Parameters -> scores on the validation images; those with the least "loss" are kept."""


class Schedule(NamedTuple):
    """How long and how often."""

    examples: int
    batch_size: int
    epochs: int
    patience: int
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: int
    """Steps."""
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return self.examples // self.batch_size

    @property
    def steps(self) -> int:
        """All steps."""
        return self.epochs * self.steps_per_epoch


def adamw(schedule: Schedule, learning_rate: float, weight_decay: float) -> optax.GradientTransformation:
    """AdamW; the rate rises over at most 200 steps and a tenth of all, then falls as a cosine to a hundredth."""
    warmup = min(200, schedule.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup, schedule.steps, learning_rate / 100)
    return optax.adamw(rate, weight_decay=weight_decay)


def train(folder: pathlib.Path, label: str, model: Model, schedule: Schedule, paused: Callable[[], None]) -> Any:
    """Trains, or goes on from the newest whole checkpoint.

    Args:
        folder: Gets checkpoints/ and metrics.jsonl, one line an epoch.
        label: Shown with the progress.
        model: What is trained.
        schedule: How long.
        paused: Called after every checkpoint.

    Returns:
        The parameters with the least validation loss, on the host.

    Raises:
        InputError: Fewer images than a batch, a loss that is not finite, or a checkpoint of another model.
    """
    _check(schedule)
    fresh = {"params": model.params, "optimizer": model.optimizer.init(model.params)}
    state: dict[str, Any] = {
        "train": fresh,
        "best": _copied(model.params),
        "best_loss": np.float64(np.inf),
        "best_epoch": np.int64(0),
        "step": np.int64(0),
        "sums": np.zeros(len(_means_of(model, fresh, schedule)), np.float64),
    }
    log = folder / "metrics.jsonl"
    with Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore(state)
        if found is not None:
            state = found.state
            print(f"{label}: going on from step {found.step:,} of {schedule.steps:,}", flush=True)
        _truncate(log, int(state["step"]))
        with Progress(label, schedule.steps, "steps", int(state["step"])) as progress:
            while not _ended(state, schedule):
                _run_epoch(state, label, model, schedule, checkpoints, log, progress, paused)
    return state["best"]


def _run_epoch(state, label, model, schedule, checkpoints, log, progress, paused) -> None:
    """What is left of the present epoch; `state` is changed in place, and saved at the end."""
    names = _means_of(model, state["train"], schedule)
    epoch, first = divmod(int(state["step"]), schedule.steps_per_epoch)
    order = epoch_order(schedule.examples, schedule.seed, epoch)
    key = jax.random.key(schedule.seed)
    pending: list[Mapping[str, jax.Array]] = []

    def settle() -> None:
        """Adds the means of the last steps to the sums, in order, so that resuming does not change their rounding."""
        for means in jax.device_get(pending):
            state["sums"] = state["sums"] + np.array([means[name] for name in names], np.float64)
        pending.clear()
        if not np.isfinite(state["sums"]).all():
            raise InputError(
                f"{label}: expected a finite loss, found NaN or infinity by step {int(state['step'])}; lower the learning rate. "
                "The checkpoints from before it are kept."
            )

    for at in range(first, schedule.steps_per_epoch):
        batch = order[at * schedule.batch_size : (at + 1) * schedule.batch_size]
        state["train"], means = model.update(state["train"], batch, jax.random.fold_in(key, int(state["step"])))
        pending.append(means)
        state["step"] = state["step"] + 1
        if len(pending) == 20:
            settle()
        progress()
        if state["step"] % schedule.checkpoint_every == 0 and at + 1 < schedule.steps_per_epoch:
            settle()
            checkpoints.save(int(state["step"]), state)
            paused()
    settle()
    scores = dict(model.validate(state["train"]["params"]))
    if scores["loss"] < state["best_loss"]:
        state["best"] = _copied(state["train"]["params"])
        state["best_loss"], state["best_epoch"] = np.float64(scores["loss"]), np.int64(epoch + 1)
    row: dict[str, Any] = {"epoch": epoch + 1, "step": int(state["step"])}
    row |= {f"train_{name}": float(x) / schedule.steps_per_epoch for name, x in zip(names, state["sums"], strict=True)}
    row |= {f"val_{name}": float(x) for name, x in scores.items()}
    _append(log, row)
    state["sums"] = np.zeros_like(state["sums"])
    progress.note(", ".join(f"{name} {value:.4g}" for name, value in row.items() if name.startswith("val_")))
    checkpoints.save(int(state["step"]), state)
    paused()


def _check(schedule: Schedule) -> None:
    if not 1 <= schedule.batch_size <= schedule.examples:
        raise InputError(
            f"batch_size: expected 1..{schedule.examples}, the number of training images, found {schedule.batch_size}."
        )
    if min(schedule.epochs, schedule.checkpoint_every) < 1 or schedule.patience < 0:
        raise InputError(
            "training: expected epochs and checkpoint_every of at least 1 and patience of at least 0, found "
            f"{schedule.epochs}, {schedule.checkpoint_every} and {schedule.patience}."
        )


def _ended(state: Mapping[str, Any], schedule: Schedule) -> bool:
    if state["step"] >= schedule.steps:
        return True
    epoch, within = divmod(int(state["step"]), schedule.steps_per_epoch)
    return schedule.patience > 0 and within == 0 and epoch - int(state["best_epoch"]) >= schedule.patience


def _means_of(model: Model, state: chex.ArrayTree, schedule: Schedule) -> list[str]:
    """Names of the means that a step returns, without running it."""
    batch = np.zeros(schedule.batch_size, np.int64)
    return sorted(jax.eval_shape(lambda s, k: model.update(s, batch, k)[1], state, jax.random.key(0)))


def _copied(params: chex.ArrayTree) -> chex.ArrayTree:
    """On the host; a copy, since the next step reuses the memory of its input."""
    return jax.tree.map(np.array, params)


def _append(log: pathlib.Path, row: Mapping[str, Any]) -> None:
    if not all(math.isfinite(value) for value in row.values()):
        raise InputError(f"{log}: expected finite scores, found {dict(row)}; lower the learning rate.")
    with open(log, "a") as file:
        file.write(json.dumps(row) + "\n")


def _truncate(log: pathlib.Path, step: int) -> None:
    """Removes the lines of steps after the checkpoint, and a line that was cut off."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["step"] <= step:
            kept.append(line + "\n")
    write_bytes(log, "".join(kept).encode())
