"""The three experiments that this project starts from, what they meant to do next, and sharper textures.

    python -m benchmarks.study --run runs/generation --data-dir DIR                 two CPU cores, many hours; resumes
    python -m benchmarks.study --run runs/generation --data-dir DIR --rows 1 3      only rows whose names begin so
    python -m benchmarks.study --run runs/full --data-dir DIR --schedule full       for an accelerator

Two tables. In the original columns: PSNR, SSIM and LPIPS of *generated* images beside *unrelated* test images, with real images
under the same protocol, and each experiment's quantization error in its own unit. In ours: every test image beside its own
reconstruction, quantization errors in common units, and samples beside real images in the features of a classifier.

The run folder may be that of benchmarks.generation on the same schedule, whose tokens, Transformers and decoders are then used
again; what is complete there is not made again. Reduced, training the Transformer of a row takes at most 45 minutes. Some rows
or seeds alone are measured into files of their own, which end in _part, the full schedule into those that end in _full. Writes
benchmarks/results/study.json and study_samples.png, two samples of every class for each row.
"""

import dataclasses

from benchmarks.generation.schedules import UsualExtent
from benchmarks.generation.study_tables import honest, legacy
from benchmarks.generation.systems import EXPERIMENTS
from geovq.validation import InputError
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options(UsualExtent):
    """Which rows, how long, and where to."""

    rows: tuple[str, ...] = ()
    """Beginnings of the names of rows; all if none is given."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    for wanted in options.rows:
        if not any(name.startswith(wanted) for name in EXPERIMENTS):
            raise InputError(f"rows: expected beginnings of {'; '.join(EXPERIMENTS)}, found {wanted!r}; change --rows.")

    from benchmarks.generation.figures import side_by_side
    from benchmarks.generation.program import measured_into

    names = [name for name in EXPERIMENTS if name.startswith(options.rows)] if options.rows else []
    tables = {"In the original columns": legacy, "In ours": honest}
    path, found = measured_into("study", "experiment", EXPERIMENTS, names, asked, options, tables)
    side_by_side(found.pictures, path.with_name(f"{path.name}_samples.png"))


if __name__ == "__main__":
    run_program(main)
