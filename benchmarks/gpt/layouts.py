"""Two codes a token: a position for each code, or one position with two heads; learned or rotary positions."""

import dataclasses
import time
from typing import Any

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.gpt.schedules import Schedule
from train.config.options import GPTOptions
from train.run.folder import Run

QUANTIZERS = 2

MEASURED = 1000
"""Images that codes are fitted to."""


def layouts(schedule: Schedule, run: Run) -> list[Row]:
    """Bits of a validation image, and seconds of a training step, of Transformers on the same tokens.

    Args:
        schedule: How long.
        run: With a trained VAE, on whose latents residual codes are fitted.
    """
    tokens, num_codes = _tokens(schedule, run)
    rows = []
    for layout in ("sequence", "heads"):
        for rotary in (False, True):
            options = dataclasses.replace(
                schedule.options,
                code_layout=layout,
                rotary=rotary,
                epochs=schedule.epochs,
                batch_size=min(schedule.options.batch_size, 64),
            )
            fields = {"case": "two codes a token", "layout": layout, "positions": "rotary" if rotary else "learned"}
            rows += [row(fields, score, value) for score, value in _train(options, tokens, num_codes, run).items()]
            print(*(f"{found['score']} {found['value']:.4g}" for found in rows[-2:]), fields, flush=True)
    return rows


def _tokens(schedule: Schedule, run: Run) -> tuple[dict[str, np.ndarray], int]:
    """Tokens (n, t, S) and labels of training and validation images, and the number of codes."""
    from geovq.assignment.whitened import Whitened
    from geovq.models.spatial_vae import callables
    from geovq.tokenizer.tokenizer import Tokenizer
    from train.stages import inputs, networks

    data = inputs.images(run.config.data).dataset
    vae = networks.trained_vae(run, data.train_images.shape[1:])
    num_codes = run.config.codebook.num_codes
    tokenizer = Tokenizer.fit(
        *callables(vae),
        data.train_images,
        num_codes=num_codes,
        num_quantizers=QUANTIZERS,
        assigner=Whitened(),
        max_images=min(MEASURED, schedule.images),
    )
    found: dict[str, np.ndarray] = {}
    for part in ("train", "val"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        grids = tokenizer.encode(images[: schedule.images])
        found |= {part: grids.reshape(len(grids), -1, QUANTIZERS), f"{part}_labels": labels[: schedule.images]}
    return found, num_codes


def _train(options: GPTOptions, tokens: dict[str, np.ndarray], num_codes: int, run: Run) -> dict[str, float]:
    """Bits of a validation image after training, and the median time of a step."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from geovq.models.config import GPTConfig
    from geovq.models.gpt import GPT
    from train.data.datasets import epoch_order
    from train.loop import loop
    from train.loop.schedule import Schedule as Epochs
    from train.stages.gpt import GPTTask

    config = GPTConfig(
        num_codes,
        run.config.vae.grid,
        int(tokens["train_labels"].max()) + 1,
        options.layers,
        options.width,
        options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout,
        rotary=options.rotary,
        num_quantizers=QUANTIZERS,
        code_layout=options.code_layout,
    )
    epochs = Epochs.of(len(tokens["train"]), options)
    task = GPTTask(GPT(config, rngs=nnx.Rngs(options.seed)), tokens, options, epochs)
    call, seconds = loop.compile_steps(task), []
    state: Any = jax.tree.map(jnp.array, task.initial_state())
    for number in range(epochs.steps):
        epoch, at = divmod(number, epochs.steps_per_epoch)
        rows = epoch_order(epochs.examples, options.seed, epoch)[at * epochs.batch_size : (at + 1) * epochs.batch_size]
        started = time.perf_counter()
        state, means = call(state, [jax.random.key(number)], [task.batch(rows)])
        jax.block_until_ready(means)
        seconds.append(time.perf_counter() - started)
    return {"bits_per_image": task.validate(state)["bits_per_image"], "seconds": float(np.median(seconds))}
