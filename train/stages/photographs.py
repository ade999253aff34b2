"""Fine-tuning of a tokenizer of a published autoencoder, on crops of a folder of photographs."""

import pathlib
from typing import NamedTuple

import numpy as np

from geovq.cli.loading import name_source
from geovq.corpus.crops import draw_crops
from geovq.corpus.folder import find_images
from geovq.models.autoencoders import load_autoencoder
from geovq.storage.arrays import load_arrays
from geovq.storage.bits import digest
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from train.config.assigners import make_assigner
from train.loop.schedule import Schedule
from train.run.folder import Run
from train.stages.finetune import fine_tune
from train.stages.rounds import Parts

_HELD_OUT = 20
"""One photograph of so many is not trained on and says when to stop."""


class Sources(NamedTuple):
    """What is fine-tuned, and on what."""

    tokenizer: pathlib.Path
    """File of the tokenizer."""
    autoencoder: str
    """What it was fitted to, as `load_autoencoder` takes it."""
    images: pathlib.Path
    """Folder of photographs."""
    crop: int
    """Pixels of a side of a crop."""
    crops: int
    """Of which so many are drawn to train on."""


def run(run: Run, sources: Sources) -> None:
    """Fine-tunes decoder and codes of a tokenizer, unless that is done.

    Args:
        run: Its folder and options; of these only `finetune` counts.
        sources: The tokenizer, its autoencoder, and photographs.

    Raises:
        InputError: Missing or damaged files, another autoencoder than the tokenizer's, or too few or too small photographs.
    """
    options = run.config.finetune
    run.check_options(("finetune",))
    Schedule.of(min(options.max_images or sources.crops, sources.crops), options)  # refuses too large batches
    vae = load_autoencoder(sources.autoencoder)
    tokenizer = Tokenizer.load(sources.tokenizer, vae.encode, vae.decode)
    if tokenizer.stride is None:
        raise InputError(
            f"{sources.tokenizer}: expected a tokenizer of images of any size, found one of {tokenizer.image_shape} alone; "
            "fit it to a convolutional autoencoder."
        )
    if any(sources.crop % side for side in tokenizer.stride):
        raise InputError(
            f"crop: expected a multiple of the autoencoder's stride {tokenizer.stride}, found {sources.crop}; change it."
        )
    images = _draw(sources, options.seed, options.max_val_images)
    made_from = {
        "tokenizer": digest(*load_arrays(sources.tokenizer)),
        "images": digest({"train": images.train, "val": images.val}),
    }
    stage = run.begin("finetune", ("finetune",), made_from)
    if stage is not None:
        fine_tune(options, tokenizer, images, stage, autoencoder=name_source(sources.autoencoder, vae))
        if tokenizer.assigner != make_assigner(options.assigners[-1], options.probes):
            print(
                f"finetune: saved with {options.assigners[-1]}; the tokenizer had {describe_assigner(tokenizer.assigner)}",
                flush=True,
            )


def _draw(sources: Sources, seed: int, max_val_images: int) -> Parts:
    """Crops of two parts of the photographs, of which no photograph is in both."""
    paths = find_images(sources.images)
    if len(paths) < 2:
        raise InputError(
            f"{sources.images}: expected two photographs or more, one of which is held out for validation, found one; add some."
        )
    order = np.random.default_rng(seed).permutation(len(paths))
    count = max(1, len(paths) // _HELD_OUT)
    held_out, rest = ([paths[i] for i in sorted(part)] for part in (order[:count], order[count:]))
    train = draw_crops(rest, sources.crop, sources.crops, seed)
    val = draw_crops(held_out, sources.crop, min(max_val_images, max(1, sources.crops // _HELD_OUT)), seed)
    print(
        f"finetune: {len(train):,} crops of {len(rest):,} photographs, {len(val):,} of {count:,} others to validate",
        flush=True,
    )
    return Parts(train, val)
