"""What does a person who has a VQ-VAE win by better tokens, and what does it cost?

    python -m benchmarks.vq_models --photographs DIR --run runs/vq_models                   an hour on one CPU core; resumes
    python -m benchmarks.vq_models --photographs DIR --run runs/vq_models --seeds 0 1 2     three hours; intervals over seeds
    python -m benchmarks.vq_models --photographs DIR --run runs/smoke --schedule smoke      a minute, to try it

Trains two VQ-VAEs and a residual VQ of four quantizers on crops of the training photographs in DIR/bsds500/train. Scores the
models' own tokens and better ones on crops of the 24 photographs in DIR/kodak, which nothing is fitted to: PSNR, LPIPS, and the
images a second of a person who assigns them. Writes benchmarks/results/vq_models.json.
"""

import argparse
import pathlib
from typing import get_args

from benchmarks.common.harness import FOLDER, file_name, save
from benchmarks.vq_models.schedules import SCHEDULES, ScheduleName
from train.run.command_line import run_program


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vq_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photographs", type=pathlib.Path, required=True, help="folder with bsds500/train and kodak")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the trained models and kept rows")
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="reduced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args()

    from benchmarks.vq_models.measure import Photographs, rows_of
    from benchmarks.vq_models.tables import tables

    schedule = SCHEDULES[options.schedule]
    photographs = Photographs(options.photographs, schedule.photographs)
    rows = [
        row
        for model in schedule.models
        for seed in options.seeds
        for row in rows_of(model, schedule, photographs, options.run, seed=seed)
    ]
    print(tables(rows))
    seeds = len(options.seeds)
    steps = ", ".join(f"{model.name} {model.steps}" for model in schedule.models)
    made = f"{options.schedule}, {seeds} seed{'s' if seeds > 1 else ''}; training steps: {steps}"
    save(
        file_name("vq_models", options.schedule),
        rows,
        {f"networks {seed}": seed for seed in options.seeds},
        made,
        options.output,
    )


if __name__ == "__main__":
    run_program(main)
