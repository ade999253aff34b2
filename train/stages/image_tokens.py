"""The tokens that a run's Transformer is trained on: gpt/tokens.npz."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from geovq.batching.chunks import Progress as Done
from geovq.cli.progress import Progress
from geovq.geometry.measured import draw
from geovq.models.token_data import keep_valid
from geovq.storage.arrays import save_arrays
from geovq.tokenizer.entropy_constrained import CodeNats, assign_entropy_constrained, code_nats
from geovq.validation import InputError, check_tokens
from train.config.options import GPTOptions, token_codes
from train.run.blocks import in_blocks, remove
from train.run.folder import Run
from train.run.stage_record import Stage
from train.stages import inputs, networks, tokenizers

PARTS = ("train", "val", "test")


class Expected(NamedTuple):
    """What a trained Transformer expects."""

    start: dict[str, Int[np.ndarray, "n h w"]]
    """Its own tokens of each part, where the descent starts."""
    nats: CodeNats


def save(run: Run, data: inputs.Images, stage: Stage, expected: Expected | None = None) -> None:
    """Assigns tokens to all images, or to at most gpt.max_images of the training images.

    Where the graph's components were dropped, images with a token from which no code can be reached are left out, and counted.

    Args:
        run: The run whose tokens are wanted.
        data: Its images.
        stage: Its stage, which has begun.
        expected: What the Transformer expects whose nats have a weight, see `expected_by`.

    Raises:
        InputError: Invalid tokens otherwise, with their count and the first position; no image is left; or a weight of nats and
            nothing expected.
    """
    options, k = run.config.gpt, token_codes(run.config)
    if options.nat_weight and expected is None:
        raise InputError(
            f"{stage.folder}: expected a prior for gpt.nat_weight, found none; give --prior, as when it began."
        )
    encode = _encoder(run, expected)
    arrays: dict[str, np.ndarray] = {}
    lost: dict[str, int] = {}
    for part in PARTS:
        images, labels = getattr(data.dataset, f"{part}_images"), getattr(data.dataset, f"{part}_labels")
        if part == "train" and options.max_images:  # the same for all seeds of Transformers, which can share them
            drawn = draw(np.arange(len(images)), options.max_images, run.config.data.split_seed)
            images, labels = images[drawn], labels[drawn]
        label = f"gpt: {part} tokens ({options.codebook}, {options.assigner})"
        grids = _assign_in_blocks(functools.partial(encode, part, images), len(images), label, stage, part)
        tokens = grids.reshape(len(grids), -1)
        if run.config.codebook.components == "drop":
            tokens, labels, lost[part] = keep_valid(tokens, labels, k)
            print(
                f"gpt: {lost[part]:,} of {len(grids):,} {part} images have tokens without a code, left out", flush=True
            )
        arrays |= {part: check_tokens(tokens, k), f"{part}_labels": labels}
    meta = {
        "codebook": options.codebook,
        "assigner": options.assigner,
        "nat_weight": options.nat_weight,
        "lost": lost,
    }
    save_arrays(stage.folder / "tokens.npz", arrays, meta)
    remove(stage.folder / "blocks")
    stage.pause()


def expected_by(prior: Run, run: Run, made_from: Mapping[str, str]) -> Expected:
    """What the Transformer of another run expects of the tokens of this one.

    Args:
        prior: The run with the trained Transformer.
        run: The run whose tokens are wanted.
        made_from: Fingerprints of its images and of the stages that make its tokenizer.

    Raises:
        InputError: A Transformer that is not trained, was trained on tokens of another tokenizer or other images, or knows images
            of a class alone.
    """
    start = read_grids(prior, run, made_from, run.config.gpt.codebook)
    return Expected(start, code_nats(networks.trained_gpt(prior)))


def _encoder(run: Run, expected: Expected | None) -> Callable[[str, np.ndarray, slice, Done], np.ndarray]:
    """What takes a part, its images and some rows of them to their tokens (n, h, w)."""
    options = run.config.gpt
    chosen = tokenizers.of_gpt(run, options.assigner, options.probes)
    if expected is None:
        return lambda part, images, rows, done: chosen.encode(images[rows], progress=done)
    return lambda part, images, rows, done: assign_entropy_constrained(
        chosen,
        images[rows],
        expected.nats,
        nat_weight=options.nat_weight,
        start=expected.start[part][rows],
        progress=done,
    )


def copy(made: Run, run: Run, stage: Stage) -> None:
    """Takes the tokens of another run, which are the same.

    Args:
        made: A run with a trained Transformer.
        run: The run whose tokens are wanted.
        stage: Its stage, which has begun.

    Raises:
        InputError: Tokens of another tokenizer or other images.
    """
    arrays, meta = made.read("gpt", "gpt/tokens.npz")
    settled_by = ("codebook", "assigner", "probes", "nat_weight", "max_images")
    _check_same(made, run, stage.record["inputs"], {name: getattr(run.config.gpt, name) for name in settled_by})
    save_arrays(stage.folder / "tokens.npz", arrays, meta)
    remove(stage.folder / "blocks")  # of an assignment that had begun


def _check_same(made: Run, run: Run, made_from: Mapping[str, str], options: Mapping[str, object]) -> None:
    """Refuses another run whose tokens are not of the same images and tokenizer.

    Args:
        made: A run with a Transformer and its tokens.
        run: The run for which they are wanted.
        made_from: What the tokens' stage should be made from: fingerprints of images and stages.
        options: Options of the Transformer that should be the same.

    Raises:
        InputError: Names the first that differs.
    """
    theirs = Stage(made.folder, "gpt").record
    if not theirs:
        raise InputError(
            f"{made.folder}: expected a record of its Transformer's stage, found none; run train.gpt there again."
        )
    chosen = dataclasses.asdict(GPTOptions()) | theirs["options"]["gpt"]  # a younger option had its default then
    for what, there, here in (
        *((name, theirs["inputs"].get(name), value) for name, value in made_from.items()),
        *((f"gpt.{name}", chosen[name], value) for name, value in options.items()),
    ):
        if there != here:
            raise InputError(
                f"{made.folder}: expected tokens of what {run.folder} has, found another {what}, {there} there and {here} here; "
                "name a run with the same."
            )


def _assign_in_blocks(
    encode: Callable[[slice, Done], np.ndarray], n: int, label: str, stage: Stage, part: str
) -> Int[np.ndarray, "n h w"]:
    """Tokens, which are kept block by block while they are made."""
    with Progress(label, n, "images") as progress:
        return in_blocks(stage.folder / "blocks" / part, lambda rows: encode(rows, progress), n, progress, stage.pause)


def load(run: Run) -> dict[str, np.ndarray]:
    """Tokens (n, t) and labels (n,) of the run's images: train, train_labels, val, val_labels, test, test_labels.

    Raises:
        InputError: The file is damaged, or holds tokens outside 0..K-1.
    """
    arrays, _ = run.read("gpt", "gpt/tokens.npz")
    for part in PARTS:
        check_tokens(arrays[part], token_codes(run.config), f"{part} tokens")
    return arrays


def read_grids(made: Run, run: Run, made_from: Mapping[str, str], codebook: str) -> dict[str, Int[np.ndarray, "n h w"]]:
    """Tokens of all images of each part, by a Transformer's run, for another that has the same tokenizer.

    Args:
        made: A run with a trained Transformer.
        run: The run for which they are wanted.
        made_from: Fingerprints of the images and of the stages that make the tokenizer.
        codebook: Codebook of the tokens.

    Raises:
        InputError: The Transformer is not trained, its tokens are of other images, of another tokenizer or not of all images, or
            it has left images out.
    """
    made.outputs("gpt")
    _check_same(made, run, made_from, {"codebook": codebook})
    if made.config.gpt.max_images:
        raise InputError(
            f"{made.folder}: expected tokens of all images, found those of {made.config.gpt.max_images:,} training images at "
            "most; name a run that was trained with --gpt.max-images 0."
        )
    if left_out := sum(lost_images(made).values()):
        raise InputError(
            f"{made.folder}: expected tokens of all images, found {left_out:,} images without, since components of the graph "
            "were dropped; name a run whose graph is bridged."
        )
    tokens = load(made)
    return {part: tokens[part].reshape(-1, *made.config.vae.grid) for part in PARTS}


def lost_images(run: Run) -> dict[str, int]:
    """Images that were left out of each part; none where the graph's components were bridged."""
    return run.read("gpt", "gpt/tokens.npz")[1]["lost"]
