"""The stage that trains a Transformer on a folder of tokens, as `geovq encode` writes them, and what it leaves behind."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Int, Integer

from geovq.corpus.token_folder import TokenFolder
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT
from geovq.storage.arrays import save_arrays
from geovq.storage.bits import digest
from geovq.validation import InputError
from train.config.options import GPTOptions
from train.loop import loop
from train.loop.schedule import Schedule
from train.run.folder import Run
from train.stages import networks
from train.stages.gpt import GPTTask

_HELD_OUT, _MOST = 20, 5000
"""One image of so many is not trained on and says when to stop, and so many images at most."""


class Model(NamedTuple):
    """A Transformer that was trained on a folder of tokens."""

    gpt: GPT
    classes: tuple[str, ...]
    """Names of its classes, in the order of its labels; none where images have no labels."""


def run(run: Run, folder: TokenFolder, grid: tuple[int, int] | None = None) -> None:
    """Trains a Transformer on tokens of one grid, unless that is done.

    Args:
        run: Its folder and options; of these only `gpt` counts.
        folder: The tokens.
        grid: (h, w) of the images that are trained on; None for all, which then have one grid.

    Raises:
        InputError: Several grids and none named, fewer than two images, rows that should start at codes, which are not in the
            folder, or a run that was trained on other tokens.
    """
    options = run.config.gpt
    if options.start == "codes":
        raise InputError(
            "gpt.start: expected random for a folder of tokens, which has no codes, found codes; give --gpt.start random."
        )
    tokens, labels = folder.array(grid), folder.labels(grid)
    if len(tokens) < 2:
        raise InputError(
            f"tokens: expected two images or more, one of which is held out, found {len(tokens)}; encode more."
        )
    classes = tuple(sorted({str(label) for label in labels or () if label is not None})) if options.conditional else ()
    config = config_of(options, folder.num_codes, tokens.shape[1:], len(classes))
    made_from = digest({}, {"tokens": [entry.sha256 for entry in folder.entries], "grid": list(config.grid)})
    stage = run.begin("gpt", ("gpt",), {"tokens": made_from})
    if stage is None:
        return
    parts = split(tokens.reshape(len(tokens), *config.token_shape), class_numbers(labels, classes, len(tokens)))
    print(
        f"gpt: {len(parts['train']):,} images of {config.grid[0]}x{config.grid[1]} tokens, {len(parts['val']):,} others to "
        f"validate, {len(classes)} classes",
        flush=True,
    )
    save_arrays(stage.folder / "model.npz", {}, {"config": dataclasses.asdict(config), "classes": classes})
    schedule = Schedule.of(len(parts["train"]), options)
    task = GPTTask(GPT(config, rngs=nnx.Rngs(options.seed)), parts, options, schedule)
    loop.train(stage.folder, "gpt", task, schedule, stage.pause)
    stage.finish("gpt/model.npz", "gpt/checkpoints")


def config_of(options: GPTOptions, num_codes: int, shape: Sequence[int], classes: int) -> GPTConfig:
    """Sizes of the Transformer for grids of tokens (h, w, S)."""
    return GPTConfig(
        num_codes,
        (shape[0], shape[1]),
        classes,
        options.layers,
        options.width,
        options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout if classes else 0.0,
        bfloat16=options.bfloat16,
        rotary=options.rotary,
        rematerialize=options.rematerialize,
        num_quantizers=shape[2],
        code_layout=options.code_layout,
    )


def class_numbers(labels: Sequence[Any] | None, classes: Sequence[str], n: int) -> Int[np.ndarray, " n"]:
    """The number of each image's class; that of no class where it has none."""
    numbers = {name: number for number, name in enumerate(classes)}
    if labels is None:
        return np.zeros(n, np.int32)
    return np.array([numbers.get(str(label), len(classes)) for label in labels], np.int32)


def split(tokens: Integer[np.ndarray, "n t *S"], labels: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Tokens and labels to train on and to validate on; the same images for every seed of Transformers."""
    order = np.random.default_rng(0).permutation(len(tokens))
    count = min(_MOST, max(1, len(tokens) // _HELD_OUT))
    val, train = np.sort(order[:count]), np.sort(order[count:])
    return {
        "train": tokens[train],
        "train_labels": labels[train],
        "val": tokens[val].astype(np.int32),
        "val_labels": labels[val],
    }


def trained(run: Run) -> Model:
    """What `run` trained.

    Raises:
        InputError: The stage is not complete, was of other tokens than a folder's, or its files are damaged.
    """
    if "gpt/model.npz" not in run.outputs("gpt"):
        raise InputError(
            f"{run.folder}: expected a Transformer that was trained with --tokens, found another; change --run."
        )
    _, found = run.read("gpt", "gpt/model.npz")
    config = GPTConfig(**found["config"] | {"grid": tuple(found["config"]["grid"])})
    return Model(networks.trained_gpt(run, config), tuple(found["classes"]))
