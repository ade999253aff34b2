"""The tokens that a run's Transformer is trained on: gpt/tokens.npz."""

import numpy as np

from geovq.checks import InputError, check_tokens
from geovq.store import save_arrays
from geovq.token_data import keep_valid
from geovq.tokenizer import Tokenizer
from train import stages, tokenizers
from train.blocks import in_blocks, remove
from train.config import token_codes
from train.progress import Progress
from train.run import Run
from train.stage_record import Stage

PARTS = ("train", "val", "test")

_SETTLED_BY = ("codebook", "assign", "probes")
"""Options of the Transformer that its tokens depend on."""


def save(run: Run, data: stages.Images, stage: Stage) -> None:
    """Assigns tokens to all images.

    Where the graph's components were dropped, images with a token that no code can be reached from are left out, and counted.

    Raises:
        InputError: Invalid tokens otherwise, with their count and the first position; or no image is left.
    """
    options, k = run.config.gpt, token_codes(run.config)
    chosen = tokenizers.modelled(run, options.assign)
    chosen = chosen.replace(assign=options.assign, probes=options.probes or None)
    arrays: dict[str, np.ndarray] = {}
    lost: dict[str, int] = {}
    for part in PARTS:
        images, labels = getattr(data.dataset, f"{part}_images"), getattr(data.dataset, f"{part}_labels")
        grids = _assigned(chosen, images, f"gpt: {part} tokens ({options.codebook}, {options.assign})", stage, part)
        tokens = grids.reshape(len(grids), -1)
        if run.config.codebook.components == "drop":
            tokens, labels, lost[part] = keep_valid(tokens, labels, k)
            print(
                f"gpt: {lost[part]:,} of {len(grids):,} {part} images have tokens without a code, left out", flush=True
            )
        arrays |= {part: check_tokens(tokens, k), f"{part}_labels": labels}
    meta = {"codebook": options.codebook, "assign": options.assign, "lost": lost}
    save_arrays(stage.folder / "tokens.npz", arrays, meta)
    remove(stage.folder / "blocks")
    stage.pause()


def copy(made: Run, run: Run, stage: Stage) -> None:
    """Takes the tokens of another run, which are the same.

    Args:
        made: With a trained Transformer.
        run: Whose tokens are wanted.
        stage: Its stage, which has begun.

    Raises:
        InputError: Tokens of another tokenizer or other images.
    """
    arrays, meta = made.read("gpt", "gpt/tokens.npz")
    theirs, ours = Stage(made.folder, "gpt").record, stage.record
    for what, there, here in (
        *((name, theirs["inputs"].get(name), value) for name, value in ours["inputs"].items()),
        *((f"gpt.{name}", theirs["options"]["gpt"][name], getattr(run.config.gpt, name)) for name in _SETTLED_BY),
    ):
        if there != here:
            raise InputError(
                f"{made.folder}: expected tokens of the same images, tokenizer and assignment as in {run.folder}, found another "
                f"{what}, {there} there and {here} here; name a run with the same, or none."
            )
    save_arrays(stage.folder / "tokens.npz", arrays, meta)


def _assigned(chosen: Tokenizer, images: np.ndarray, label: str, stage: Stage, part: str) -> np.ndarray:
    """Tokens (n, h, w), which are kept block by block while they are made."""
    with Progress(label, len(images), "images") as progress:
        return in_blocks(
            stage.folder / "blocks" / part,
            lambda rows: chosen.encode(images[rows], progress),
            len(images),
            progress,
            stage.pause,
        )


def load(run: Run) -> dict[str, np.ndarray]:
    """Tokens (n, t) and labels (n,) of the run's images: train, train_labels, val, val_labels, test, test_labels.

    Raises:
        InputError: The file is damaged, or holds tokens outside 0..K-1.
    """
    arrays, _ = run.read("gpt", "gpt/tokens.npz")
    for part in PARTS:
        check_tokens(arrays[part], token_codes(run.config), f"{part} tokens")
    return arrays


def lost(run: Run) -> dict[str, int]:
    """Images that were left out of each part; none where the graph's components were bridged."""
    return run.read("gpt", "gpt/tokens.npz")[1]["lost"]
