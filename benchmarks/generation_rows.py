"""All rows of benchmarks.generation and of benchmarks.study, whatever is complete taken from the run folder."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.generation_brackets import Held, controls, gallery, of_vae
from benchmarks.generation_cells import cell
from benchmarks.generation_systems import Generation, System
from train import stages
from train.judge import Judge
from train.scoring import Row


class Measured(NamedTuple):
    """What was found."""

    rows: list[Row]
    pictures: dict[str, Float[np.ndarray, "classes SHOWN H W C"]]
    """Samples of the first seed by the system's name, and real images under that of `real`."""
    classes: tuple[str, ...]
    """Names of the classes."""


def measure(generation: Generation, systems: Mapping[str, System], seeds: Sequence[int], field: str) -> Measured:
    """Trains what is not trained yet, and measures it.

    Args:
        generation: Where, and on which schedule.
        systems: By name.
        seeds: Of all networks; not every system has all of them.
        field: Of a row, for the system's name.
    """
    classifier = generation.classifier()
    judge, held = Judge.of(classifier), Held.of(classifier, generation.schedule.images)
    rows = controls(classifier, judge, held)
    pictures = {"real": gallery(held.images, held.labels, judge.classes)}
    for seed in seeds:
        rows += [r | {"seed": seed} for r in of_vae(generation.study.vae(seed), judge, held)]
        for name, system in systems.items():
            if not generation.has(system, seed):
                continue
            found = cell(generation.folder / "generation", generation.trained(system, seed), system, judge, held)
            rows += [r | {field: name, "seed": seed} for r in found.rows]
            pictures.setdefault(name, found.samples)
    return Measured(rows, pictures, stages.class_names(classifier))
