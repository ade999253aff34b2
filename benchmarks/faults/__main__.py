"""What happens when a process is killed, a disk is full, a file is damaged, or a command line is wrong?

    python -m benchmarks.faults --run runs/faults                             about an hour on two idle cores; resumes
    python -m benchmarks.faults --run runs/smoke --schedule smoke             a minute or two, to try it

Every fault is tried on a small job, each stage of a study, `geovq encode` and `geovq decode`: a copy of its folder before every
file operation, and with every file half-written, is resumed; processes are killed at random moments; files of every kind and
folders of complete jobs are damaged; disks are full or read-only from some operation on. Command lines of every program are
wrong. Each fault has to end with the bits of an uninterrupted job, or to be refused with one clear line; files that have no
checksum of their own may be read as the valid files that they now are. Anything else is printed with the fault and is in the
results.

Each part is a file in --run and is not tried again: start the same command again after a break, and choose another folder after a
change of the code. Writes benchmarks/results/faults.json. Needs Linux.
"""

import argparse
import os
import pathlib
from typing import get_args

from benchmarks.common.harness import FOLDER, captioned, markdown, save
from benchmarks.faults.schedules import SCHEDULES, ScheduleName
from train.run.command_line import run_program


def main() -> None:
    """Runs the benchmark."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__, formatter_class=raw)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the jobs and finished parts")
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="full")
    parser.add_argument("--workers", type=int, default=2, help="processes at work; 0 for this one alone (2)")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(options.run.resolve() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

    from benchmarks.faults import tables
    from benchmarks.faults.measure import Workers, rows_of

    with Workers(options.workers) as workers:
        rows = rows_of(SCHEDULES[options.schedule], options.run, workers)
    print(captioned({"By class": markdown(*tables.table(rows)), "By kind": markdown(*tables.kinds(rows))}))
    save("faults" if options.schedule == "full" else "faults_part", rows, [0], options.schedule, options.output)


if __name__ == "__main__":
    run_program(main)
