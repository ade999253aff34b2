"""Which tokens give the best images, with the same Transformer and the same budget?

    python -m benchmarks.generation --run runs/study --data-dir DIR                             two CPU cores, ten hours; resumes
    python -m benchmarks.generation --run runs/study --data-dir DIR --systems metric-joint vqvae-euclidean --seeds 0
    python -m benchmarks.generation --run runs/full --data-dir DIR --schedule full              for an accelerator

FashionMNIST, K = 512. Tokens of Euclidean and geodesic medoids, of metric means and of fine-tuned codes under several
assignments, and of a VQ-VAE, alone and with the same assignment and fine-tuning; then 5,000 samples of each Transformer beside
the test images in the features of a classifier that is trained here: Fréchet and kernel distance, precision, recall, density,
coverage, class accuracy, nearest training images; and nats per token. Real validation images and reconstructions of them are
the brackets. The run folder may be that of
benchmarks.tokenizer, whose networks are used again. Writes benchmarks/results/generation.json and generation_trade.png; a part
of the benchmark writes generation_part.json and its figure. Samples of each are in RUN/generation.
"""

import dataclasses
import pathlib
from typing import Any, Literal

from benchmarks.generation_systems import SCHEDULES, SYSTEMS, Generation
from benchmarks.record import FOLDER, save
from benchmarks.tokenizer_systems import images_of
from geovq.checks import InputError
from train.cli import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which part of it, and how long it runs."""

    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: six epochs of each Transformer, two CPU cores. full: 100. smoke: the digits, in a minute or two."""
    systems: tuple[str, ...] = ()
    """Only tokens of these names, such as metric-joint; all if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    names = [system.name for system in SYSTEMS]
    if unknown := [name for name in options.systems if name not in names]:
        raise InputError(f"systems: expected some of {', '.join(names)}, found {unknown[0]!r}; change --systems.")

    from benchmarks.generation_cells import Held, cell, controls, of_vae
    from benchmarks.generation_figures import trade
    from train.judge import Judge

    schedule = SCHEDULES[options.schedule]
    schedule = dataclasses.replace(schedule, seeds=options.seeds or schedule.seeds)
    generation = Generation(asked.folder, images_of(asked.config.data), schedule)
    classifier = generation.classifier()
    judge, held = Judge.of(classifier), Held.of(classifier, schedule.images)
    rows: list[dict[str, Any]] = controls(classifier, judge, held)
    for seed in schedule.seeds:
        found = of_vae(generation.study.vae(seed), judge, held)
        for system in SYSTEMS:
            if system.name in options.systems or not options.systems:
                run = generation.trained(system, seed)
                found += cell(asked.folder / "generation", run, system, judge, held).rows
        rows += [r | {"seed": seed} for r in found]
    whole = not options.systems and not options.seeds and options.schedule != "smoke"
    name = "generation" if whole else "generation_part"
    label = (
        f"{options.schedule}: {schedule.gpt.epochs} epochs of every Transformer, {schedule.images:,} images in a set"
    )
    seeds = {"split": asked.config.data.split_seed, **{f"networks {seed}": seed for seed in schedule.seeds}}
    save(name, rows, seeds, label, options.output)
    trade(rows, options.output / f"{name}_trade.png")


if __name__ == "__main__":
    run_program(main)
