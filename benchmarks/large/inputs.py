"""What all parts of benchmarks.large start from: autoencoders, photographs, and codes that the run folder keeps."""

import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import UInt8

from benchmarks.common.harness import Cell, kept, peak_bytes_of
from benchmarks.common.rows import Row, row
from benchmarks.large.schedules import Coding, Schedule
from benchmarks.vq_models.photographs import Photograph, draw_batch, fixed_crops, read_photographs
from geovq.assignment.amortised import Amortised
from geovq.assignment.whitened import Whitened
from geovq.codebook.names import CodebookName
from geovq.decoder.adapters import from_nnx
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError


class Seconds(NamedTuple):
    """Of a call: on the wall, and of all cores, which other programs disturb less."""

    wall: float
    cpu: float


def timed(call: Callable[[], Any]) -> tuple[Any, Seconds]:
    """What a call returns, and how long it takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def load() -> float:
    """Processes that wanted a core in the last minute, this one among them."""
    return round(os.getloadavg()[0], 1)


@functools.cache
def load_vae(folder: pathlib.Path, name: str) -> tuple[Partial, Partial]:
    """Encoder and decoder of a published autoencoder."""
    model = TinyAutoencoder.from_pretrained(folder, name)
    return from_nnx(model.encoder), from_nnx(model.decoder)


@functools.cache
def _photographs(folder: pathlib.Path) -> Sequence[Photograph]:
    return read_photographs(folder)


class Setting(NamedTuple):
    """Folders and schedule of a run."""

    autoencoders: pathlib.Path
    photographs: pathlib.Path
    run: pathlib.Path
    schedule: Schedule

    def vae(self, name: str) -> tuple[Partial, Partial]:
        """Encoder and decoder."""
        return load_vae(self.autoencoders, name)

    def training_crops(self, seed: int) -> UInt8[np.ndarray, "n size size 3"]:
        """Random crops of the photographs to fit to."""
        photographs = _photographs(self.photographs / "bsds500" / "train")
        return draw_batch(photographs, self.schedule.crop, self.schedule.crops, seed)

    def scored_crops(self, side: int, at_most: int) -> UInt8[np.ndarray, "n side side 3"]:
        """The centres of the first photographs to report."""
        return fixed_crops(_photographs(self.photographs / "kodak")[:at_most], side, 1)

    def centre(self, height: int, width: int) -> UInt8[np.ndarray, "1 height width 3"]:
        """The centre of the first photograph to report that is large enough.

        Raises:
            InputError: None is.
        """
        for photograph in _photographs(self.photographs / "kodak"):
            top, left = photograph.shape[0] - height, photograph.shape[1] - width
            if min(top, left) >= 0:
                return photograph[None, top // 2 : top // 2 + height, left // 2 : left // 2 + width]
        raise InputError(
            f"photographs: expected one of {height}x{width} pixels in kodak, found none; restore the files."
        )

    def cell(self, name: str, made_from: Mapping[str, Any], compute: Callable[[], Cell]) -> Cell:
        """What the run folder keeps under a name."""
        path = self.run / "cells" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        return kept(path, made_from, compute)

    def measured(self, autoencoder: str, seed: int) -> tuple[Measured, list[Row]]:
        """What codes are fitted from, and rows of what it cost."""
        path = self.run / "measured" / f"{autoencoder}-{seed}.npz"
        fields: Row = {"case": "measure", "autoencoder": autoencoder, "seed": seed, "side": self.schedule.crop}

        def compute() -> Cell:
            crops, vae = self.training_crops(seed), self.vae(autoencoder)
            found, rows = _costs(fields, len(crops), lambda: measure(*vae, crops, statistics="means", seed=seed))
            path.parent.mkdir(parents=True, exist_ok=True)
            found.save(path)
            return rows, {}

        name = f"measured/{autoencoder}-{seed}"
        if not path.exists():
            (self.run / "cells" / f"{name}.npz").unlink(missing_ok=True)
        rows, _ = self.cell(name, {"crops": [self.schedule.crops, self.schedule.crop]}, compute)
        return Measured.load(path), rows

    def fit_costs(self, coding: Coding, seed: int) -> list[Row]:
        """Rows of what `Tokenizer.fit` costs on all training crops, measuring and codes together."""
        crops, vae = self.training_crops(seed), self.vae(coding.autoencoder)
        fields: Row = {"case": "fit", "autoencoder": coding.autoencoder, "seed": seed, "side": self.schedule.crop}

        def fit() -> Tokenizer:
            count, quantizers = coding.num_codes, coding.num_quantizers
            return Tokenizer.fit(
                *vae, crops, num_codes=count, num_quantizers=quantizers, assigner=Whitened(), seed=seed
            )

        size = {"coding": list(coding), "crops": [self.schedule.crops, self.schedule.crop]}
        return self.cell(f"fit/{coding.name}-{seed}", size, lambda: (_costs(fields, len(crops), fit)[1], {}))[0]

    def tokenizer(self, coding: Coding, codebook: CodebookName | None, seed: int) -> Tokenizer:
        """A tokenizer with `Whitened`, whose codes are fitted to training crops; None for the default codebook."""
        path = self.run / "codebooks" / f"{coding.name}-{codebook or 'default'}-{seed}.npz"
        if path.exists():
            return Tokenizer.load(path, *self.vae(coding.autoencoder))
        measured, _ = self.measured(coding.autoencoder, seed)
        fit = Tokenizer.from_measured
        made = (fit if codebook is None else functools.partial(fit, codebook=codebook))(
            *self.vae(coding.autoencoder),
            measured,
            num_codes=coding.num_codes,
            num_quantizers=coding.num_quantizers,
            images=self.training_crops(seed),
            assigner=Whitened(),
            seed=seed,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)
        return made

    def amortised(self, coding: Coding, seed: int) -> tuple[Tokenizer, pathlib.Path] | None:
        """The tokenizer of the default codebook with `Amortised`, and its file; None where the schedule leaves it out."""
        if not coding.amortised:
            return None
        path = self.run / "codebooks" / f"{coding.name}-amortised-{coding.amortised}-{seed}.npz"
        if not path.exists():
            crops = self.training_crops(seed)[: coding.amortised]
            self.tokenizer(coding, None, seed).replace(assigner=Amortised(), images=crops, seed=seed).save(path)
        return Tokenizer.load(path, *self.vae(coding.autoencoder)), path


def _costs(fields: Row, n: int, call: Callable[[], Any]) -> tuple[Any, list[Row]]:
    """What a call returns, and rows of its time and memory; the first call in a process also compiles."""
    (found, seconds), peak = peak_bytes_of(lambda: timed(call))
    costs = {"seconds": seconds.wall, "cpu_seconds": seconds.cpu, "bytes": peak}
    said = fields | {"load": load()}
    return found, [row(said, score, value, n) for score, value in costs.items() if value is not None]
