"""How much of benchmarks.faults is tried."""

import dataclasses
from typing import Literal

from benchmarks.faults.jobs import CORPUS, SMOKE, STAGES, Job

ScheduleName = Literal["full", "smoke"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How many faults of each class."""

    jobs: tuple[Job, ...]
    """What they are tried on, in an order in which each finds what it needs."""
    every: int
    """Of the copies at file operations, one of so many is resumed."""
    kills: int
    """Of processes, for each job."""
    corruptions: int
    """For each kind of file."""
    kinds: tuple[str, ...] | None
    """Kinds of files; None for all."""
    damaged: tuple[Job, ...]
    """Jobs whose complete folders are damaged: those that know again what they have written."""
    runs: int
    """Damaged folders of each of them."""
    lines: int
    """Wrong command lines."""
    processes: int
    """Of those, so many are started as processes, too."""
    starts: tuple[int, ...]
    """Operations from which on disks fail."""
    limits: tuple[int, ...]
    """Bytes of the largest file that a process can write."""


SCHEDULES: dict[ScheduleName, Schedule] = {
    "full": Schedule(
        jobs=(*STAGES, *CORPUS),
        every=1,
        kills=8,
        corruptions=96,
        kinds=None,
        damaged=(*STAGES, CORPUS[0]),
        runs=16,
        lines=400,
        processes=30,
        starts=(0, 2, 8, 32, 64),
        limits=(1_000, 20_000),
    ),
    "smoke": Schedule(
        jobs=SMOKE,
        every=40,
        kills=0,
        corruptions=6,
        kinds=("record", "options", "png image"),
        damaged=SMOKE[1:],
        runs=2,
        lines=16,
        processes=1,
        starts=(3,),
        limits=(),
    ),
}
