"""Published autoencoders and photographs, and what a run folder keeps of them: measurements, codes, and finished cells."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import UInt8

from benchmarks.common.harness import Cell, kept
from benchmarks.common.photographs import Photograph, draw_batch, fixed_crops, read_photographs
from geovq.assignment.whitened import Whitened
from geovq.codebook.names import CodebookName, CompositionName
from geovq.codebook.recipe import StatisticsName, needed_statistics
from geovq.decoder.adapters import from_nnx
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.storage.bits import digest
from geovq.storage.records import read_json, write_json
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError


@functools.cache
def load_vae(folder: pathlib.Path, name: str) -> tuple[Partial, Partial]:
    """Encoder and decoder of a published autoencoder."""
    model = TinyAutoencoder.from_pretrained(folder, name)
    return from_nnx(model.encoder), from_nnx(model.decoder)


@functools.cache
def _photographs(folder: pathlib.Path) -> Sequence[Photograph]:
    return read_photographs(folder)


class Fitted(NamedTuple):
    """Which codes are fitted to the training crops."""

    autoencoder: str
    num_codes: int
    num_quantizers: int
    seed: int
    """Of the crops and the codes."""
    codebook: CodebookName | None = None
    """None for the default."""
    composition: CompositionName = "residual"

    @property
    def statistics(self) -> StatisticsName:
        """What is measured for them: all codebooks that need more than means share one graph."""
        return "means" if needed_statistics(self.codebook or "whitened") == "means" else "graph"

    @property
    def name(self) -> str:
        """Of the file."""
        composed = "" if self.composition == "residual" else f"-{self.composition}"
        codes = f"{self.num_codes}x{self.num_quantizers}{composed}"
        return f"{self.autoencoder}-{codes}-{self.codebook or 'default'}-{self.seed}"


class Published(NamedTuple):
    """Folders, and how many training crops of which size codes are fitted to."""

    autoencoders: pathlib.Path
    photographs: pathlib.Path
    """Holds bsds500/train, kodak, and for `benchmarks.photographs` bsds500/val."""
    run: pathlib.Path
    crops: int
    crop: int
    """Pixels of a side."""

    def vae(self, name: str) -> tuple[Partial, Partial]:
        """Encoder and decoder."""
        return load_vae(self.autoencoders, name)

    def fingerprint(self, name: str) -> str:
        """SHA-256 of an autoencoder's parameters."""
        leaves = jax.tree.leaves(self.vae(name))
        return digest({f"{i:05}": np.asarray(leaf) for i, leaf in enumerate(leaves)})

    def check_run(self) -> None:
        """Refuses a run folder whose codes were fitted to other crops.

        Raises:
            InputError: With both.
        """
        path, made_with = self.run / "fitted_to.json", {"crops": self.crops, "pixels of a side": self.crop}
        if not path.exists():
            write_json(path, made_with)
        elif (found := read_json(path)) != made_with:
            raise InputError(
                f"{self.run}: expected codes that are fitted to {made_with}, found {found}; choose another --run."
            )

    def of(self, folder: str) -> Sequence[Photograph]:
        """The photographs of a folder, such as "kodak", in the order of their names."""
        return _photographs(self.photographs / folder)

    def centres(self, folder: str, side: int, at_most: int) -> UInt8[np.ndarray, "n side side 3"]:
        """The square centres of its first photographs."""
        return fixed_crops(self.of(folder)[:at_most], side, 1)

    def training_crops(self, seed: int) -> UInt8[np.ndarray, "n size size 3"]:
        """Random crops of the photographs to fit to."""
        return draw_batch(self.of("bsds500/train"), self.crop, self.crops, seed)

    def cell(self, name: str, made_from: Mapping[str, Any], compute: Callable[[], Cell]) -> Cell:
        """What the run folder keeps under a name."""
        path = self.run / "cells" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        return kept(path, made_from, compute)

    def measure(self, autoencoder: str, seed: int, statistics: StatisticsName = "means") -> Measured:
        """What codes are fitted from, of the training crops."""
        return measure(*self.vae(autoencoder), self.training_crops(seed), statistics=statistics, seed=seed)

    def measured_path(self, autoencoder: str, seed: int, statistics: StatisticsName = "means") -> pathlib.Path:
        """Where `measured` keeps it."""
        more = "" if statistics == "means" else f"-{statistics}"
        return self.run / "measured" / f"{autoencoder}{more}-{seed}.npz"

    def measured(self, autoencoder: str, seed: int, statistics: StatisticsName = "means") -> Measured:
        """The same, measured once a run folder."""
        path = self.measured_path(autoencoder, seed, statistics)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.measure(autoencoder, seed, statistics).save(path)
        return Measured.load(path)

    def codes_path(self, fitted: Fitted) -> pathlib.Path:
        """Where `tokenizer` keeps its file."""
        return self.run / "codebooks" / f"{fitted.name}.npz"

    def tokenizer(self, fitted: Fitted) -> Tokenizer:
        """A tokenizer with `Whitened`, fitted once a run folder."""
        path, vae = self.codes_path(fitted), self.vae(fitted.autoencoder)
        if path.exists():
            return Tokenizer.load(path, *vae)
        fit: Callable[..., Tokenizer] = Tokenizer.from_measured
        if fitted.codebook is not None:
            fit = functools.partial(fit, codebook=fitted.codebook)
        made = fit(
            *vae,
            self.measured(fitted.autoencoder, fitted.seed, fitted.statistics),
            num_codes=fitted.num_codes,
            num_quantizers=fitted.num_quantizers,
            composition=fitted.composition,
            images=self.training_crops(fitted.seed),
            assigner=Whitened(),
            seed=fitted.seed,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)
        return made
