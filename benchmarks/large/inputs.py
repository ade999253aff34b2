"""What all parts of benchmarks.large start from: autoencoders, photographs, and codes that the run folder keeps."""

import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import UInt8

from benchmarks.common.harness import Cell, peak_bytes_of
from benchmarks.common.published import Fitted, Published
from benchmarks.common.rows import Row, row
from benchmarks.large.schedules import Coding, Schedule
from geovq.assignment.amortised import Amortised
from geovq.assignment.whitened import Whitened
from geovq.codebook.names import CodebookName
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


class Setting(NamedTuple):
    """Folders and schedule of a run."""

    autoencoders: pathlib.Path
    photographs: pathlib.Path
    run: pathlib.Path
    schedule: Schedule

    @property
    def published(self) -> Published:
        """The folders, with the crops that the schedule fits to."""
        return Published(*self[:3], self.schedule.crops, self.schedule.crop)

    def vae(self, name: str) -> tuple[Partial, Partial]:
        """Encoder and decoder."""
        return self.published.vae(name)

    def scored_crops(self, side: int, at_most: int) -> UInt8[np.ndarray, "n side side 3"]:
        """The centres of the first photographs to report."""
        return self.published.centres("kodak", side, at_most)

    def centre(self, height: int, width: int) -> UInt8[np.ndarray, "1 height width 3"]:
        """The centre of the first photograph to report that is large enough.

        Raises:
            InputError: None is.
        """
        for photograph in self.published.of("kodak"):
            top, left = photograph.shape[0] - height, photograph.shape[1] - width
            if min(top, left) >= 0:
                return photograph[None, top // 2 : top // 2 + height, left // 2 : left // 2 + width]
        raise InputError(
            f"photographs: expected one of {height}x{width} pixels in kodak, found none; restore the files."
        )

    def cell(self, name: str, made_from: Mapping[str, Any], compute: Callable[[], Cell]) -> Cell:
        """What the run folder keeps under a name."""
        return self.published.cell(name, made_from, compute)

    def measured(self, autoencoder: str, seed: int) -> tuple[Measured, list[Row]]:
        """What codes are fitted from, and rows of what it cost."""
        path = self.published.measured_path(autoencoder, seed)
        fields: Row = {"case": "measure", "autoencoder": autoencoder, "seed": seed, "side": self.schedule.crop}

        def compute() -> Cell:
            found, rows = _costs(fields, self.schedule.crops, lambda: self.published.measure(autoencoder, seed))
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
        crops, vae = self.published.training_crops(seed), self.vae(coding.autoencoder)
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
        self.measured(coding.autoencoder, seed)  # what it costs is reported
        return self.published.tokenizer(self._fitted(coding, codebook, seed))

    def default_path(self, coding: Coding, seed: int) -> pathlib.Path:
        """The file of the tokenizer with the default codebook."""
        return self.published.codes_path(self._fitted(coding, None, seed))

    def amortised(self, coding: Coding, seed: int) -> tuple[Tokenizer, pathlib.Path] | None:
        """The tokenizer of the default codebook with `Amortised`, and its file; None where the schedule leaves it out."""
        if not coding.amortised:
            return None
        path = self.run / "codebooks" / f"{coding.name}-amortised-{coding.amortised}-{seed}.npz"
        if not path.exists():
            crops = self.published.training_crops(seed)[: coding.amortised]
            self.tokenizer(coding, None, seed).replace(assigner=Amortised(), images=crops, seed=seed).save(path)
        return Tokenizer.load(path, *self.vae(coding.autoencoder)), path

    def _fitted(self, coding: Coding, codebook: CodebookName | None, seed: int) -> Fitted:
        return Fitted(coding.autoencoder, coding.num_codes, coding.num_quantizers, seed, codebook)


def _costs(fields: Row, n: int, call: Callable[[], Any]) -> tuple[Any, list[Row]]:
    """What a call returns, and rows of its time and memory; the first call in a process also compiles."""
    (found, seconds), peak = peak_bytes_of(lambda: timed(call))
    costs = {"seconds": seconds.wall, "cpu_seconds": seconds.cpu, "bytes": peak}
    said = fields | {"load": load()}
    return found, [row(said, score, value, n) for score, value in costs.items() if value is not None]
