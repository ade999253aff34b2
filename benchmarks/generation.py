"""Which tokens give the best images, with the same Transformer and the same budget?

    python -m benchmarks.generation --run runs/study --data-dir DIR                             two CPU cores, ten hours; resumes
    python -m benchmarks.generation --run runs/study --data-dir DIR --systems metric-joint vqvae-euclidean --seeds 0
    python -m benchmarks.generation --run runs/full --data-dir DIR --schedule full              for an accelerator

FashionMNIST, K = 512. Tokens of Euclidean and geodesic medoids, of metric means and of fine-tuned codes under several
assignments, and of a VQ-VAE, alone and with the same assignment and fine-tuning; then 5,000 samples of each Transformer beside
the test images in the features of a classifier that is trained here: Fréchet and kernel distance, precision, recall, density,
coverage, class accuracy, nearest training images; and nats per token. Real validation images and reconstructions of them are
the brackets. On the reduced schedule, systems that are not compared are trained for the first seed alone. The run folder may be
that of benchmarks.tokenizer, whose networks are used again.

Writes benchmarks/results/generation.json; generation_trade.png, how good samples are against how well tokens reconstruct and are
predicted; generation_confusion.png, what classes samples are seen as; and generation_confused.png, samples of the two classes
that real images are confused in most. A part of the benchmark writes generation_part.json and its pictures. Samples of each
class are in RUN/generation.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.generation_systems import ONCE, SCHEDULES, SYSTEMS, Generation
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
    """Only tokens of these names, such as metric-joint, for all seeds; all systems if none is given."""
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

    from benchmarks.generation_figures import confused, confusion, trade
    from benchmarks.generation_rows import measure
    from benchmarks.generation_tables import guidance, reached, systems
    from geovq.report import text_table

    schedule = SCHEDULES[options.schedule]
    if options.systems:
        schedule = dataclasses.replace(schedule, replicate_all=True)
    seeds = options.seeds or schedule.seeds
    generation = Generation(asked.folder, images_of(asked.config.data), schedule)
    wanted = {system.name: system for system in SYSTEMS if system.name in options.systems or not options.systems}
    rows, pictures, classes = measure(generation, wanted, seeds, "tokens")
    for caption, table in (("Samples", systems), ("Guidance", guidance), ("What was wanted", reached)):
        print(f"\n{caption}\n{text_table(*table(rows))}", flush=True)
    whole = not options.systems and not options.seeds and options.schedule != "smoke"
    name = "generation" if whole else "generation_part"
    epochs = schedule.epochs[0] if schedule.epochs else 100
    label = f"{options.schedule}: {epochs} epochs of every Transformer, {schedule.images:,} images in a set"
    if not schedule.replicate_all:
        label += f"; {', '.join(system.name for system in ONCE)} by the first seed alone"
    made_with = {"split": asked.config.data.split_seed, **{f"networks {seed}": seed for seed in seeds}}
    save(name, rows, made_with, label, options.output)
    trade(rows, options.output / f"{name}_trade.png")
    confusion(rows, classes, options.output / f"{name}_confusion.png")
    confused(rows, pictures, classes, options.output / f"{name}_confused.png")


if __name__ == "__main__":
    run_program(main)
