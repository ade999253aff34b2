"""The Transformers that are measured, random tokens for them, and their training steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from train.config.options import GPTOptions

STUDY = {"4/256/4": GPTOptions(), "8/512/8": GPTOptions(layers=8, width=512, heads=8)}
"""Layers, width and heads: the study's Transformers."""

CODES, CLASSES = 512, 10


class Batch(NamedTuple):
    """Sequences of a training step."""

    tokens: np.ndarray
    labels: np.ndarray


def model_of(options: GPTOptions, grid: tuple[int, int], codes: int = CODES) -> Any:
    """The Transformer with its initial weights."""
    from flax import nnx

    from geovq.models.config import GPTConfig
    from geovq.models.gpt import GPT

    config = GPTConfig(
        codes,
        grid,
        CLASSES,
        options.layers,
        options.width,
        options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout,
        bfloat16=options.bfloat16,
        rotary=options.rotary,
        rematerialize=options.rematerialize,
    )
    return GPT(config, rngs=nnx.Rngs(options.seed))


def batch_of(n: int, grid: tuple[int, int], codes: int = CODES) -> Batch:
    """Random tokens and labels, whose values do not change the times."""
    rng = np.random.default_rng(0)
    return Batch(rng.integers(0, codes, (n, grid[0] * grid[1]), np.int32), rng.integers(0, CLASSES, n, np.int32))


def task_of(model: Any, options: GPTOptions, batch: Batch) -> Any:
    """The training of a model on one batch, as `train.gpt` makes it."""
    from train.loop.schedule import Schedule
    from train.stages.gpt import GPTTask

    tokens, labels = batch
    named = {"train": tokens, "train_labels": labels, "val": tokens, "val_labels": labels}
    return GPTTask(model, named, options, Schedule.of(len(tokens), options))


def steps_of(model: Any, options: GPTOptions, batch: Batch, count: int) -> Callable[[], None]:
    """So many training steps, as `train.gpt` makes them."""
    import jax
    import jax.numpy as jnp

    from train.loop import loop

    task = task_of(model, options, batch)
    call = loop.compile_steps(task)
    state = jax.tree.map(jnp.array, task.initial_state())

    def some_steps() -> None:
        nonlocal state
        for number in range(count):
            state, means = call(state, [jax.random.key(number)], [tuple(batch)])
        jax.block_until_ready((state, means))

    return some_steps
