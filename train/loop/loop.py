"""The training loop of all networks: epochs, checkpoints, validation, early stopping, and resuming to the bit.

Everything that a later step depends on is in the checkpoint or is a pure function of the seed and the step: the order of the
images, the keys, the running sums of what is logged. So a run that was killed ends as one that was not.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from geovq.batching import processes
from geovq.batching.plan import fast_options
from geovq.batching.processes import batch_on_devices, on_all_devices, on_own_devices, rows_of
from geovq.cli.interruption import asked_to_stop, careful
from geovq.cli.progress import Progress
from geovq.validation import InputError
from train.data.datasets import epoch_order
from train.loop.log import append, truncate
from train.loop.schedule import Schedule
from train.loop.task import State, Task
from train.run.checkpoint import Checkpoints
from train.run.events import events

_SETTLE_EVERY = 20
"""Calls that may run ahead of the reading of their results."""

_STEPS_PER_CALL = 20
"""Steps of one call on an accelerator, which small models would keep waiting for the next one."""


def train(
    folder: pathlib.Path,
    label: str,
    task: Task,
    schedule: Schedule,
    paused: Callable[[], None],
    *,
    steps_per_call: int | None = None,
) -> None:
    """Trains, or goes on from the newest whole checkpoint; the last one holds the best parameters as its entry "best".

    Args:
        folder: Gets checkpoints/ and metrics.jsonl, one line an epoch, and tensorboard/ where events were asked for.
        label: Shown with the progress.
        task: What is trained.
        schedule: How long.
        paused: Called after every checkpoint.
        steps_per_call: Steps that are compiled together; None for one on a CPU, where loops lose the fast convolutions, and
            many on an accelerator.

    Raises:
        InputError: A loss or parameters that are not finite, a checkpoint of another model, or a full disk.
        KeyboardInterrupt: The program was asked to stop; the step before it is saved.
    """
    if steps_per_call is None:
        steps_per_call = 1 if jax.default_backend() == "cpu" else _STEPS_PER_CALL
    devices = processes.mesh()
    if devices is not None and schedule.batch_size % devices.size:
        raise InputError(
            f"{label}.batch_size: expected a multiple of the {devices.size} devices, found {schedule.batch_size}; "
            "every device takes as many rows of a step."
        )
    steps = compile_steps(task, devices)
    first = on_all_devices(task.initial_state(), devices)
    names = _names_of_means(task, first)
    state: dict[str, Any] = {
        "train": first,
        "best": _copy_to_host(first["params"]),
        "best_loss": np.float64(np.inf),
        "best_epoch": np.int64(0),
        "step": np.int64(0),
        "sums": np.zeros(len(names), np.float64),
    }
    log = folder / "metrics.jsonl"
    with Checkpoints(folder / "checkpoints") as checkpoints, careful():

        def save() -> None:
            _check_finite("parameters", jax.tree.leaves(state["train"]["params"]), label, state, schedule, checkpoints)
            checkpoints.save(int(state["step"]), state)
            paused()
            if processes.any_of(asked_to_stop()):
                print(f"{label}: stopped, step {int(state['step']):,} of {schedule.steps:,} is saved", flush=True)
                raise KeyboardInterrupt

        def settle(pending: list[Mapping[str, jax.Array]]) -> None:
            _settle(state, names, pending)
            _check_finite("losses", [state["sums"]], label, state, schedule, checkpoints)

        found = checkpoints.restore(state)
        if found is not None:
            state = found.state | {"train": on_all_devices(found.state["train"], devices)}
            print(f"{label}: going on from step {found.step:,} of {schedule.steps:,}", flush=True)
        truncate(log, int(state["step"]))
        with events(log) as write_event, Progress(label, schedule.steps, "steps", int(state["step"])) as progress:
            validated: dict[str, float] = {}

            def tell(means: Mapping[str, float]) -> None:
                progress.note(", ".join(f"{name} {value:.4g}" for name, value in {**means, **validated}.items()))

            while not _ended(state, schedule):
                _finish_epoch(
                    state, names, steps, devices, steps_per_call, task.batch, schedule, progress, tell, settle, save
                )
                row = _validate(state, names, task, schedule)
                append(log, row)
                write_event(row)
                validated = {name: value for name, value in row.items() if name.startswith("val_")}
                tell({})
                save()
    ended = "stopped early" if state["step"] < schedule.steps else "ended"
    best = f"best validation loss {float(state['best_loss']):.4g} at epoch {int(state['best_epoch'])}"
    print(f"{label}: {ended} after epoch {int(state['step']) // schedule.steps_per_epoch}, {best}", flush=True)


def best_parameters(folder: pathlib.Path, like: PyTree) -> PyTree:
    """The best parameters of a training that has ended, in the structure of `like`."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore({"best": like})
    assert found is not None  # the training has just saved it
    return found.state["best"]


def _names_of_means(task: Task, state: State) -> list[str]:
    """Names of the means that a step returns, without running it."""
    one = task.batch(np.zeros(1, np.int64))
    return sorted(jax.eval_shape(task.step, state, jax.random.key(0), *one)[1])


def compile_steps(task: Task, devices: Mesh | None = None) -> Callable:
    """A function of a state and, for some steps one after the other, their keys and batches; the means come stacked.

    With several devices each has the state, and its part of a batch's rows; XLA sums their gradients.
    """

    def steps(state: State, keys: list[jax.Array], batches: list[tuple[Any, ...]]) -> tuple[State, Any]:
        if len(keys) == 1:
            state, means = task.step(state, keys[0], *batches[0])
            return state, jax.tree.map(lambda x: x[None], means)
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *zip(keys, batches, strict=True))
        return jax.lax.scan(lambda state, x: task.step(state, x[0], *x[1]), state, stacked)

    # On a CPU the compiler's faster convolutions make a step of a VAE take two thirds of the time; one of a Transformer takes
    # longer with them.
    options = dict(fast_options()) if task.convolves else {}
    everywhere = None if devices is None else NamedSharding(devices, PartitionSpec())
    return jax.jit(steps, donate_argnums=0, out_shardings=everywhere, compiler_options=options)


def _finish_epoch(
    state: dict[str, Any],
    names: list[str],
    steps: Callable,
    devices: Mesh | None,
    steps_per_call: int,
    batch: Callable[[np.ndarray], tuple[Any, ...]],
    schedule: Schedule,
    progress: Progress,
    tell: Callable[[Mapping[str, float]], None],
    settle: Callable[[list[Mapping[str, jax.Array]]], None],
    save: Callable[[], None],
) -> None:
    """The steps that are left of the present epoch; `state` is changed in place, and its means so far are told."""
    epoch, at = divmod(int(state["step"]), schedule.steps_per_epoch)
    order = epoch_order(schedule.examples, schedule.seed, epoch)
    key = jax.random.key(schedule.seed)
    pending: list[Mapping[str, jax.Array]] = []
    alone = processes.part().count == 1
    while at < schedule.steps_per_epoch:
        first = int(state["step"])
        # No call goes beyond a checkpoint, so that a training that was interrupted makes the same calls; what is left before
        # one is done step by step, so that only two functions are compiled.
        room = min(schedule.steps_per_epoch - at, schedule.checkpoint_every - first % schedule.checkpoint_every)
        count = steps_per_call if steps_per_call <= room else 1
        parts = order[at * schedule.batch_size : (at + count) * schedule.batch_size].reshape(count, -1)
        keys = on_all_devices([jax.random.fold_in(key, first + i) for i in range(count)], devices)
        batches = [batch_on_devices(batch(rows_of(part, devices)), devices) for part in parts]
        state["train"], means = steps(state["train"], keys, batches)
        state["step"], at = state["step"] + count, at + count
        pending.append(means)
        last = at == schedule.steps_per_epoch
        now = alone and asked_to_stop()  # several processes ask each other where they save
        due = not last and (state["step"] % schedule.checkpoint_every == 0 or now)
        if due or last or len(pending) == _SETTLE_EVERY:
            settle(pending)
            tell(_means_so_far(state, names, at))
        progress(count)
        if due:
            save()


def _settle(state: dict[str, Any], names: list[str], pending: list[Mapping[str, jax.Array]]) -> None:
    """Adds the means of the last steps to the sums, one after the other, so that resuming does not change the rounding."""
    for means in jax.device_get(pending):
        for row in np.stack([means[name] for name in names], axis=1).astype(np.float64):
            state["sums"] = state["sums"] + row
    pending.clear()


def _check_finite(
    what: str, arrays: list[Any], label: str, state: Mapping[str, Any], schedule: Schedule, checkpoints: Checkpoints
) -> None:
    """Refuses what could not be trained on, before it is saved."""
    if all(np.isfinite(array).all() for array in arrays):
        return
    rate = "" if schedule.learning_rate is None else f" with a learning rate of {schedule.learning_rate:g}"
    last = max(checkpoints.steps(), default=0)
    raise InputError(
        f"{label}: expected finite {what}, found NaN or infinity by step {int(state['step']):,} of {schedule.steps:,}{rate}; "
        "choose a lower learning rate and another --run folder. "
        f"The checkpoint of step {last:,} in {checkpoints.folder} is kept."
    )


def _means_so_far(state: Mapping[str, Any], names: list[str], steps: int) -> dict[str, float]:
    """Over the steps of the epoch that are done."""
    return {f"train_{name}": float(x) / steps for name, x in zip(names, state["sums"], strict=True)}


def _validate(state: dict[str, Any], names: list[str], task: Task, schedule: Schedule) -> dict[str, float]:
    """The log's row of the epoch that has ended; keeps the parameters if they are the best so far, and clears the sums."""
    scores = task.validate(on_own_devices(state["train"]))
    epoch = int(state["step"]) // schedule.steps_per_epoch
    if scores["loss"] < state["best_loss"]:
        state["best"] = _copy_to_host(state["train"]["params"])
        state["best_loss"], state["best_epoch"] = np.float64(scores["loss"]), np.int64(epoch)
    row: dict[str, float] = {"epoch": epoch, "step": int(state["step"])}
    row |= _means_so_far(state, names, schedule.steps_per_epoch)
    row |= {f"val_{name}": float(x) for name, x in scores.items()}
    state["sums"] = np.zeros_like(state["sums"])
    return row


def _ended(state: Mapping[str, Any], schedule: Schedule) -> bool:
    if state["step"] >= schedule.steps:
        return True
    epoch, within = divmod(int(state["step"]), schedule.steps_per_epoch)
    return schedule.patience > 0 and within == 0 and epoch - int(state["best_epoch"]) >= schedule.patience


def _copy_to_host(params: PyTree) -> PyTree:
    """On the host; a copy, since the next step reuses the memory of its input."""
    return jax.tree.map(np.array, params)
