"""The three experiments that this project starts from, what they meant to do next, and sharper textures.

    python -m benchmarks.study --run runs/generation --data-dir DIR                 two CPU cores, many hours; resumes
    python -m benchmarks.study --run runs/generation --data-dir DIR --rows 1 3      only rows whose names begin so
    python -m benchmarks.study --run runs/full --output runs/full --data-dir DIR --schedule full    for an accelerator

Two tables. In the original columns: PSNR, SSIM and LPIPS of *generated* images beside *unrelated* test images, with real images
under the same protocol, and each experiment's quantization error in its own unit. In ours: every test image beside its own
reconstruction, quantization errors in common units, and samples beside real images in the features of a classifier.

The run folder may be that of benchmarks.generation on the same schedule, whose tokens, Transformers and decoders are then used
again; reduced, training the Transformer of a row takes at most 45 minutes. Some rows or seeds alone are measured into the same
files: what these hold of others, on the same schedule, stays. Writes benchmarks/results/study.json and study_samples.png, two
samples of every class for each row.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.generation_runs import Generation
from benchmarks.generation_schedules import SCHEDULES, schedule_label
from benchmarks.generation_systems import EXPERIMENTS
from benchmarks.record import FOLDER, check_adds_up, merged, save
from benchmarks.study_tables import honest, legacy
from benchmarks.tokenizer_systems import images_of
from geovq.checks import InputError
from train.cli import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which rows, and how long it runs."""

    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: two epochs of each Transformer, large ones one, two CPU cores. full: 50 or 100. smoke: the digits, in minutes."""
    rows: tuple[str, ...] = ()
    """Beginnings of the names of rows; all if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    for wanted in options.rows:
        if not any(name.startswith(wanted) for name in EXPERIMENTS):
            raise InputError(f"rows: expected beginnings of {'; '.join(EXPERIMENTS)}, found {wanted!r}; change --rows.")

    from benchmarks.generation_figures import side_by_side
    from benchmarks.generation_rows import measure, pictures_of, seeds_in
    from geovq.report import text_table

    schedule = SCHEDULES[options.schedule]
    seeds = tuple(dict.fromkeys(options.seeds)) or schedule.seeds
    generation = Generation(asked.folder, images_of(asked.config.data), schedule)
    systems = {
        name: system
        for name, system in EXPERIMENTS.items()
        if not options.rows or any(name.startswith(beginning) for beginning in options.rows)
    }
    if options.rows:
        generation.check_seeds(systems, seeds)
    name = "study" if options.schedule != "smoke" else "study_part"
    label = schedule_label(options.schedule, schedule, EXPERIMENTS.values())
    check_adds_up(options.output / f"{name}.json", schedule=label)
    classifier = generation.classifier()
    judged_by = classifier.fingerprint("classifier")
    check_adds_up(options.output / f"{name}.json", classifier=judged_by)
    rows, real, _ = measure(generation, classifier, systems, seeds, "experiment")
    rows = merged(options.output / f"{name}.json", rows, "experiment", [*EXPERIMENTS])
    for caption, table in (("In the original columns", legacy), ("In ours", honest)):
        print(f"\n{caption}\n{text_table(*table(rows))}", flush=True)
    seeds_of_rows = seeds_in(rows, asked.config.data.split_seed, generation)
    save(name, rows, seeds_of_rows, label, options.output, classifier=judged_by)
    pictures = {"real": real} | pictures_of(generation, rows, EXPERIMENTS, "experiment", judged_by)
    side_by_side(pictures, options.output / f"{name}_samples.png")


if __name__ == "__main__":
    run_program(main)
