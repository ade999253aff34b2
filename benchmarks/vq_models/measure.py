"""What better tokens of a trained model win, and what they cost: rows, each kept in a file, for a measurement that is killed."""

import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.common.harness import Cell, kept
from benchmarks.common.photographs import Photograph, draw_batch, fixed_crops, read_photographs
from benchmarks.common.rows import Row, mean_row, row
from benchmarks.vq_models.schedules import Model, Schedule
from benchmarks.vq_models.training import Trained, train
from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.scores.reconstruction import lpips, psnr
from geovq.storage.bits import digest
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

OWN = "own"

ASSIGNERS: Mapping[str, Assigner] = {
    OWN: Nearest(sweeps=0),
    "whitened": Whitened(),
    "amortised": Amortised(),
    "joint": Joint(),
    "joint, 256 probes": Joint(probes=256),
    "joint, 256 directions": Joint(directions=256),
}
"""Those that look at images start from the model's own tokens."""

CLUSTERED_TOKENS = 8192
"""Tokens of training images that clusters are measured from: each takes six products with the whole image."""


class Photographs:
    """Photographs to train on, and to score."""

    def __init__(self, folder: pathlib.Path, at_most: int | None):
        """Of a folder with `bsds500/train` and `kodak`."""
        self.train: Sequence[Photograph] = read_photographs(folder / "bsds500" / "train")
        self.scored: Sequence[Photograph] = read_photographs(folder / "kodak", at_most)


def rows_of(
    model: Model, schedule: Schedule, photographs: Photographs, folder: pathlib.Path, *, seed: int
) -> list[Row]:
    """All rows of a model, which is trained first unless the folder has it."""
    trained = train(model, photographs.train, folder, seed=seed)
    fields: Row = {
        "case": model.name,
        "seed": seed,
        "codes": model.num_codes,
        "codes_per_token": model.num_quantizers,
        "grid": f"{model.side}x{model.side}x{model.d}",
        "bits_per_pixel": model.bits_per_pixel,
    }
    measured = draw_batch(photographs.train, model.crop, schedule.measured, seed, model.steps)
    crops = max(1, schedule.pixels // model.crop**2)
    images = check_images(fixed_crops(photographs.scored, model.crop, crops))
    made_from = {"model": list(model), "seed": seed, "crops": digest({"measured": measured, "images": images})}

    def cell(name: str, compute) -> list[Row]:
        path = folder / "cells" / f"{model.name}-{seed}-{name.replace(', ', '-').replace(' ', '-')}.npz"
        return kept(path, made_from | {"assign": name}, compute)[0]

    started = time.perf_counter()
    tokenizer = Tokenizer.from_codes(trained.encode, trained.decode, trained.codes, measured)
    seconds = time.perf_counter() - started
    rows = [
        row(fields | {"stage": "training"}, "seconds", trained.seconds),
        *cell("mean metrics", lambda: ([row(fields | {"stage": "mean metrics"}, "seconds", seconds)], {})),
        *cell("continuous", lambda: _continuous(trained, images, fields)),
    ]
    own = tokenizer.replace(assigner=ASSIGNERS[OWN]).encode(images)
    for name, assigner in ASSIGNERS.items():
        rows += cell(
            name, lambda name=name, assigner=assigner: _scored(tokenizer, name, assigner, images, measured, own, fields)
        )
        print(f"{model.name}: {name} scored", flush=True)
    return rows


def _continuous(trained: Trained, images: np.ndarray, fields: Row) -> Cell:
    """The model without quantization."""
    decoded = decode_latents(trained.decode, encode_images(trained.encode, images))
    return _scores(images, decoded, fields | {"assign": "continuous"}), {}


def _scores(images: np.ndarray, decoded: np.ndarray, fields: Row) -> list[Row]:
    return [mean_row(fields, "psnr", psnr(images, decoded)), mean_row(fields, "lpips", lpips(images, decoded))]


def _scored(
    base: Tokenizer,
    name: str,
    assigner: Assigner,
    images: np.ndarray,
    measured: np.ndarray,
    own: np.ndarray,
    fields: Row,
) -> Cell:
    """Quality and time of one assigner. A second run is timed, with everything compiled."""
    fields = fields | {"assign": name}
    started = time.perf_counter()
    measured = measured[: max(1, CLUSTERED_TOKENS // math.prod(base.grid))]
    tokenizer = base.replace(assigner=assigner, images=measured)
    setup = time.perf_counter() - started
    start = own if assigner.needs_images else None
    warm = len(images) if start is None else 8  # without a start nothing is padded: other numbers compile anew
    first = tokenizer.encode(images[:warm], start=None if start is None else start[:warm])
    started = time.perf_counter()
    tokens = tokenizer.encode(images, start=start)
    seconds = time.perf_counter() - started
    np.testing.assert_array_equal(tokens[: len(first)], first)
    decoded, before = base.decode(tokens), psnr(images, base.decode(own))
    won = psnr(images, decoded) - before
    rows = [
        *_scores(images, decoded, fields),
        mean_row(fields, "psnr_won", won),
        row(fields, "psnr_won_least", won.min(), len(images)),
        row(fields, "tokens_changed", np.mean(tokens != own), len(images)),
        row(fields | {"load": round(os.getloadavg()[0], 1)}, "images_per_second", len(images) / seconds, len(images)),
    ]
    if setup > 0.1:
        rows.append(row(fields | {"stage": "setup"}, "seconds", setup, len(measured)))
    return rows, {}
