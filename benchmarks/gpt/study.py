"""The study's Transformers on 4x4 grids: a training step beside PyTorch's, sampling with and without a cache, memory pages."""

import dataclasses
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common.harness import in_turn
from benchmarks.common.rows import Row, ratio_row, spread_row
from benchmarks.gpt.models import STUDY, batch_of, model_of, steps_of
from benchmarks.gpt.peer import torch_peer
from benchmarks.gpt.uncached import without_cache
from train.config.options import GPTOptions

BATCHES = (64, 256)
"""Sequences that are sampled together."""

GRID = (4, 4)
ROUNDS = 7
STEPS = 5
"""Training steps in a turn."""

ONE_STEP = "--one-step"
"""Prints the seconds of a training step of the small model, and nothing else: a process cannot change its own memory pages."""


def training(name: str, options: GPTOptions) -> list[Row]:
    """A training step, of a small model one in half precision too, and PyTorch's."""
    model = model_of(options, GRID)
    tokens, labels = batch = batch_of(options.batch_size, GRID)
    ways = {"ours": steps_of(model, options, batch, STEPS)}
    if options == STUDY["4/256/4"]:  # it may be slow
        half = dataclasses.replace(options, bfloat16=True)
        ways["ours in bfloat16"] = steps_of(model_of(half, GRID), half, batch, STEPS)
    peer = torch_peer(model, options)
    if peer is not None:
        np.testing.assert_allclose(peer.logits(tokens, labels), model(tokens, labels), atol=1e-4)
        step = peer.step

        def peer_steps() -> None:
            for _ in range(STEPS):
                step(tokens, labels)

        ways["PyTorch"] = peer_steps
    seconds = {way: [s / STEPS for s in turns] for way, turns in in_turn(ways, ROUNDS).items()}
    fields = {"case": "training step", "sizes": name}
    rows = [spread_row(fields | {"peer": way}, "seconds", turns) for way, turns in seconds.items()]
    return rows + [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def sampling(name: str, options: GPTOptions, n: int) -> list[Row]:
    """Cached sampling, and a pass over the whole sequence for each of its tokens."""
    import jax

    from geovq.models.sampling import sample

    model, key = model_of(options, GRID), jax.random.key(1)
    labels = batch_of(n, GRID).labels
    whole = without_cache(model, key, labels)
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: sample(model, key, n, labels, chunk=n),
        "without a cache": lambda: np.asarray(whole(model.config.length)),
    }
    np.testing.assert_array_equal(ways["ours"](), ways["without a cache"]())
    seconds = in_turn(ways, ROUNDS)
    fields = {"case": "sampling", "sizes": name, "batch": n}
    rows = [spread_row(fields | {"peer": way}, "seconds", turns) for way, turns in seconds.items()]
    return rows + [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def pages() -> list[Row]:
    """A training step with ordinary memory pages and with huge ones, each in processes of its own."""
    seconds: dict[str, list[float]] = {"ours": [], "ordinary pages": []}
    for _ in range(3):
        for way, tunables in (("ours", "glibc.malloc.hugetlb=1"), ("ordinary pages", "")):
            found = subprocess.run(
                [sys.executable, "-m", "benchmarks.gpt", ONE_STEP],
                env=os.environ | {"GLIBC_TUNABLES": tunables},
                capture_output=True,
                text=True,
                check=True,
            )
            seconds[way].append(float(found.stdout))
    fields = {"case": "memory pages", "sizes": "4/256/4"}
    return [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def one_step() -> float:
    """Seconds of a training step of the small model."""
    options = STUDY["4/256/4"]
    steps = steps_of(model_of(options, GRID), options, batch_of(options.batch_size, GRID), STEPS)
    return statistics.median(in_turn({"ours": steps}, ROUNDS)["ours"]) / STEPS


def study() -> list[Row]:
    """All rows."""
    rows = [row for name, options in STUDY.items() for row in training(name, options)]
    rows += [row for name, options in STUDY.items() for n in BATCHES for row in sampling(name, options, n)]
    return rows + pages()
