"""Is the Transformer fast, what memory does it take, and which layout of several codes is better?

    python -m benchmarks.gpt                                              some ten minutes on two idle CPU cores
    python -m benchmarks.gpt --parts memory step sampling                 grids up to 32x32: half an hour
    python -m benchmarks.gpt --parts layouts --run RUN --data-dir DIR     two hours; RUN has a trained VAE
    python -m benchmarks.gpt --parts memory step sampling --schedule smoke    a minute, to try it

Parts, each with a results file:

    study       4x4 grids: a training step beside the same model in PyTorch, sampling with and without a cache -> gpt.json
    memory      bytes of a compiled training step of 128 sequences, by the grid -> gpt_memory.json
    step        a training step on 32x32 grids beside PyTorch with its fused attention -> gpt_step.json
    sampling    sampling on 32x32 grids with and without a cache -> gpt_sampling.json
    layouts     two codes a token: a position for each, or two heads at one; learned or rotary positions -> gpt_layouts.json

Tokens are random but for layouts, since their values do not change the times. All ways have a turn in each round, after cached
sampling has given the tokens of uncached sampling, and PyTorch the logits of the same weights. Where PyTorch is not installed its
rows are left out (pip install -e '.[peers]').
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import get_args

from benchmarks.common.harness import FOLDER, file_name, save
from benchmarks.common.rows import Row
from benchmarks.gpt.grids import memory, sampling, step
from benchmarks.gpt.layouts import layouts
from benchmarks.gpt.schedules import SCHEDULES, Part, Schedule, ScheduleName
from benchmarks.gpt.study import ONE_STEP, ROUNDS, one_step, study
from train.run.command_line import run_program

OF_GRIDS: dict[Part, Callable[[Schedule], list[Row]]] = {"memory": memory, "step": step, "sampling": sampling}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.gpt", description=__doc__, formatter_class=raw)
    parser.add_argument("--parts", choices=get_args(Part), nargs="+", default=["study"])
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="reduced", help="not for study")
    parser.add_argument("--run", type=pathlib.Path, help="run folder with a trained VAE, for layouts")
    parser.add_argument("--data-dir", help="folder of the run's data set, for layouts")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def measured(part: Part, options: argparse.Namespace) -> list[Row]:
    """The rows of one part."""
    import dataclasses

    from geovq.validation import InputError
    from train.run.folder import stored_run

    if part == "study":
        return study()
    schedule = SCHEDULES[options.schedule]
    if part in OF_GRIDS:
        return OF_GRIDS[part](schedule)
    if options.run is None:
        raise InputError("run: expected a folder with a trained VAE for layouts, found none; give --run.")
    run = stored_run(options.run)
    data = dataclasses.replace(run.config.data, data_dir=options.data_dir or run.config.data.data_dir)
    run.config = dataclasses.replace(run.config, data=data)
    return layouts(schedule, run)


def main() -> None:
    """Runs the benchmark."""
    if sys.argv[1:] == [ONE_STEP]:
        print(one_step())
        return
    options = parse_options()
    from train.evaluation.report import text_table

    for part in options.parts:
        rows = measured(part, options)
        heads = list(dict.fromkeys(name for row in rows for name in row if name not in ("low", "high", "n")))
        print(text_table(heads, [[row.get(name) for name in heads] for row in rows]))
        if part == "study":
            save("gpt", rows, {"model": 0}, f"{ROUNDS} rounds in turn", options.output)
        else:
            name = file_name(f"gpt_{part}", options.schedule)
            save(
                name,
                rows,
                {"model": 0},
                f"{options.schedule}, {SCHEDULES[options.schedule].rounds} rounds",
                options.output,
            )


if __name__ == "__main__":
    run_program(main)
