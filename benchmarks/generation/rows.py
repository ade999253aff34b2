"""All rows of benchmarks.generation and of benchmarks.study, whatever is complete taken from the run folder."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.generation.brackets import Validation, controls, gallery, of_vae
from benchmarks.generation.cells import cell, kept, label_of, reconstructed
from benchmarks.generation.runs import Generation
from benchmarks.generation.systems import System
from train.config.options import token_codes
from train.evaluation.judge import Judge
from train.evaluation.scoring import Row
from train.run.folder import Run
from train.stages import inputs as stages


class Measured(NamedTuple):
    """What was found."""

    rows: list[Row]
    pictures: dict[str, Float[np.ndarray, "classes SHOWN H W C"]]
    """Images of each class: real ones, then samples of every system, of its first seed."""
    nearest: dict[str, Float[np.ndarray, "2 SHOWN H W C"]]
    """Of every system's first seed those samples that are nearest to training images, and these."""
    classes: tuple[str, ...]
    """Names of the classes."""


def measure(
    generation: Generation, classifier: Run, systems: Mapping[str, System], seeds: Sequence[int], field: str
) -> Measured:
    """Trains what is not trained yet, and measures it.

    Args:
        generation: Where, and on which schedule.
        classifier: In whose features images are compared.
        systems: By name.
        seeds: Of the Transformers, and on a whole schedule of all networks; not every system has all of them.
        field: Of a row, for the system's name.
    """
    judge, validation = Judge.of(classifier), Validation.of(classifier, generation.schedule.images)
    folder = generation.folder / "generation"
    rows = list(
        kept(
            folder / "real.npz",
            label_of({}, judge, len(validation.images)),
            lambda: (controls(classifier, judge, validation), {}),
        )[0]
    )
    for first in dict.fromkeys(generation.tokenizer_seed(seed) for seed in seeds):
        rows += [r | {"seed": first} for r in _of_vae(folder, generation.tokenizers.vae(first), judge, validation)]
    pictures = {"real": gallery(validation.images, validation.labels, judge.classes)}
    nearest: dict[str, np.ndarray] = {}
    reconstructions = set()
    for seed in seeds:
        for name, system in systems.items():
            if not generation.has(system, seed):
                continue
            trained = generation.trained(system, seed)
            config = trained.run.config
            of = {**system.fields, field: name, "codes": token_codes(config), "epochs": config.gpt.epochs}
            of_tokens = generation.tokenizer_seed(seed)
            if (name, of_tokens) not in reconstructions:
                reconstructions.add((name, of_tokens))
                rows += [
                    of | {"seed": of_tokens} | r for r in reconstructed(folder, trained, of_tokens, judge, validation)
                ]
            found = cell(folder, trained, judge, len(validation.images), generation.schedule.sets)
            rows += [of | {"seed": seed} | r for r in found.rows]
            pictures.setdefault(name, found.samples)
            nearest.setdefault(name, found.nearest)
    return Measured(rows, pictures, nearest, stages.class_names(classifier))


def _of_vae(folder: pathlib.Path, run: Run, judge: Judge, validation: Validation) -> list[Row]:
    made_from = label_of({"vae": run.fingerprint("vae")}, judge, len(validation.images))
    return kept(folder / f"{run.folder.name}.npz", made_from, lambda: (of_vae(run, judge, validation), {}))[0]


def seeds_in(rows: Sequence[Row], split: int, generation: Generation) -> dict[str, int]:
    """What a results file of these rows says of its seeds: which are of all networks, and which of a Transformer alone."""
    seeds = sorted({r["seed"] for r in rows if "seed" in r})
    named = {seed: "networks" if generation.tokenizer_seed(seed) == seed else "Transformer" for seed in seeds}
    return {"split": split, **generation.fixed_seeds} | {f"{what} {seed}": seed for seed, what in named.items()}
