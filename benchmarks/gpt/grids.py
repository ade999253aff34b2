"""Large grids: the memory of a training step, its time beside PyTorch's, and sampling with and without a cache."""

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.common.harness import in_turn
from benchmarks.common.rows import Row, ratio_row, row, spread_row
from benchmarks.gpt.models import batch_of, model_of, steps_of, task_of
from benchmarks.gpt.peer import torch_peer
from benchmarks.gpt.schedules import Schedule
from benchmarks.gpt.uncached import tokens_by_one_pass, without_cache
from train.config.options import GPTOptions


def memory(schedule: Schedule) -> list[Row]:
    """Bytes that a compiled training step takes beside its parameters and batch; nothing is run.

    "all weights at once" is attention that has the (t, t) weights of all heads in memory, "blocks kept" computes nothing again.
    """
    from geovq.models import attention

    rows = []
    for grid in schedule.grids:
        options = schedule.options
        kept = dataclasses.replace(options, rematerialize=False)
        with mock.patch.object(attention, "DENSE", grid[0] * grid[1]):
            found = {"all weights at once": _bytes_of_step(kept, grid)}
        found |= {"blocks kept": _bytes_of_step(kept, grid), "ours": _bytes_of_step(options, grid)}
        fields = {"case": "memory of a training step", "grid": f"{grid[0]}x{grid[1]}", "batch": options.batch_size}
        rows += [row(fields | {"peer": way}, "bytes", value) for way, value in found.items()]
    return rows


def _bytes_of_step(options: GPTOptions, grid: tuple[int, int]) -> int:
    """Of the temporary arrays of a compiled training step."""
    import jax

    from train.loop import loop

    batch = batch_of(options.batch_size, grid)
    task = task_of(model_of(options, grid), options, batch)
    steps: Any = loop.compile_steps(task)
    lowered = steps.lower(task.initial_state(), [jax.random.key(0)], [tuple(batch)])
    found: Any = lowered.compile().memory_analysis()
    return found.temp_size_in_bytes


def step(schedule: Schedule) -> list[Row]:
    """Seconds of a training step on the largest grid, ours and PyTorch's."""
    grid = schedule.grids[-1]
    batch = batch_of(schedule.batch, grid)
    options = dataclasses.replace(schedule.options, batch_size=schedule.batch)
    again = dataclasses.replace(options, rematerialize=True)
    model = model_of(options, grid)
    ways: dict[str, Callable[[], Any]] = {
        "ours": steps_of(model, options, batch, 1),
        "blocks computed again": steps_of(model_of(again, grid), again, batch, 1),
    }
    peer = torch_peer(model, options)
    if peer is not None:
        np.testing.assert_allclose(peer.logits(*batch), model(*batch), atol=1e-4)
        ways["PyTorch"] = lambda: peer.step(*batch)
    return _in_turn("training step", grid, schedule, ways)


def sampling(schedule: Schedule) -> list[Row]:
    """Seconds of sampling on the largest grid, with a cache and without; the tokens are compared one by one first."""
    import jax

    from geovq.models.sampling import sample

    grid = schedule.grids[-1]
    model, key = model_of(schedule.options, grid), jax.random.key(1)
    labels, passes = batch_of(schedule.batch, grid).labels, schedule.passes
    whole = without_cache(model, key, labels)
    tokens = sample(model, key, schedule.batch, labels, chunk=schedule.batch)
    np.testing.assert_array_equal(tokens_by_one_pass(model, key, labels, tokens), tokens)
    np.testing.assert_array_equal(whole(passes)[:, :passes], tokens[:, :passes])
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: sample(model, key, schedule.batch, labels, chunk=schedule.batch),
        "without a cache": lambda: whole(passes),
    }
    return _in_turn("sampling", grid, schedule, ways, {"without a cache": model.config.length / passes})


def _in_turn(
    case: str,
    grid: tuple[int, int],
    schedule: Schedule,
    ways: dict[str, Callable[[], Any]],
    times: dict[str, float] | None = None,
) -> list[Row]:
    """Seconds of each way, and how many times as long as ours it takes; `times` scales what was measured in part."""
    found = in_turn(ways, schedule.rounds)
    seconds = {way: [s * (times or {}).get(way, 1) for s in turns] for way, turns in found.items()}
    fields = {"case": case, "grid": f"{grid[0]}x{grid[1]}", "batch": schedule.batch}
    rows = [spread_row(fields | {"peer": way}, "seconds", turns) for way, turns in seconds.items()]
    return rows + [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]
