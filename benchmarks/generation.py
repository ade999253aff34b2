"""Which tokens give the best images, with the same Transformer and the same budget?

    python -m benchmarks.generation --run runs/generation --data-dir DIR                        two CPU cores, many hours; resumes
    python -m benchmarks.generation --run runs/generation --data-dir DIR --seeds 0 --systems metric-whitened vqvae-euclidean
    python -m benchmarks.generation --run runs/full --output runs/full --data-dir DIR --schedule full      for an accelerator

FashionMNIST, K = 512. Tokens of Euclidean and geodesic medoids, of metric means under several assignments, and of a VQ-VAE; of
some, the decoder fine-tuned on the tokens, without and with a price on LPIPS. 5,000 samples of each Transformer stand beside the
test images in the features of a classifier that is trained here: Fréchet and kernel distance, precision, recall, density,
coverage, class accuracy, nearest training images; and nats per token. Real validation images and reconstructions of them are the
brackets. On the reduced schedule seeds are those of the Transformers, over the tokens of one VAE and one VQ-VAE, and systems that
are not compared have the first alone.

Some systems or seeds alone are measured into the same files: what these hold of others, on the same schedule, stays. Writes
benchmarks/results/generation.json; generation_trade.png, how good samples are against how well tokens reconstruct and are
predicted; generation_samples.png, two samples of every class; generation_confusion.png, what classes samples are seen as; and
generation_confused.png, samples of the two classes that real images are confused in most. More samples of each class are in
RUN/generation.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.generation_runs import Generation
from benchmarks.generation_schedules import SCHEDULES, schedule_label
from benchmarks.generation_systems import SYSTEMS
from benchmarks.record import FOLDER, check_adds_up, merged, save
from benchmarks.tokenizer_systems import images_of
from geovq.checks import InputError
from train.cli import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which part of it, and how long it runs."""

    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: two epochs of each Transformer, long ones six, two CPU cores. full: 100 or 200. smoke: the digits, in minutes."""
    systems: tuple[str, ...] = ()
    """Only those of these names, such as metric-joint-finetuned; all if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    known = {system.name: system for system in SYSTEMS}
    if unknown := [name for name in options.systems if name not in known]:
        raise InputError(f"systems: expected some of {', '.join(known)}, found {unknown[0]!r}; change --systems.")

    from benchmarks.generation_figures import confused, confusion, side_by_side, trade
    from benchmarks.generation_rows import measure, pictures_of, seeds_in
    from benchmarks.generation_tables import guidance, reached, systems
    from geovq.report import text_table

    schedule = SCHEDULES[options.schedule]
    seeds = tuple(dict.fromkeys(options.seeds)) or schedule.seeds
    generation = Generation(asked.folder, images_of(asked.config.data), schedule)
    wanted = {name: system for name, system in known.items() if name in options.systems or not options.systems}
    if options.systems:
        generation.check_seeds(wanted, seeds)
    name = "generation" if options.schedule != "smoke" else "generation_part"
    label = f"{schedule_label(options.schedule, schedule, SYSTEMS)}, {schedule.images:,} images in a set"
    check_adds_up(options.output / f"{name}.json", schedule=label)
    classifier = generation.classifier()
    judged_by = classifier.fingerprint("classifier")
    check_adds_up(options.output / f"{name}.json", classifier=judged_by)
    rows, real, classes = measure(generation, classifier, wanted, seeds, "name")
    rows = merged(options.output / f"{name}.json", rows, "name", [*known])
    for caption, table in (("Samples", systems), ("Guidance", guidance), ("What was wanted", reached)):
        print(f"\n{caption}\n{text_table(*table(rows))}", flush=True)
    seeds_of_rows = seeds_in(rows, asked.config.data.split_seed, generation)
    save(name, rows, seeds_of_rows, label, options.output, classifier=judged_by)
    pictures = {"real": real} | pictures_of(generation, rows, known, "name", judged_by)
    trade(rows, options.output / f"{name}_trade.png")
    confusion(rows, classes, options.output / f"{name}_confusion.png")
    side_by_side(pictures, options.output / f"{name}_samples.png")
    confused(rows, pictures, classes, options.output / f"{name}_confused.png")


if __name__ == "__main__":
    run_program(main)
