"""All classes of fault, part by part; each is kept in a file once it is done."""

import concurrent.futures
import dataclasses
import functools
import json
import logging
import multiprocessing
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.common.harness import Cell, kept
from benchmarks.common.rows import Row, row
from benchmarks.faults import commands, corruptions, disks, kills, operations, wrong_lines
from benchmarks.faults.jobs import Job, Place, make_whole
from benchmarks.faults.readers import FOLDERS, READERS
from benchmarks.faults.schedules import Schedule
from benchmarks.faults.trials import Trial, count
from train.run.command_line import report_unraisable

_TASKS = 200
"""Calls of a worker, after which another takes its place: each leaves compiled functions behind."""

_AT_ONCE = 8
"""Seeds of one call that damages files."""


def _begin() -> None:
    """As a program does for itself: what Orbax says of errors that it also raises is not shown."""
    sys.unraisablehook = report_unraisable
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Workers:
    """Calls of functions in some processes, or in this one."""

    def __init__(self, number: int):
        """Starts nothing before the first call.

        Args:
            number: Of processes; 0 for this one.
        """
        self._pool = (
            concurrent.futures.ProcessPoolExecutor(
                number,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                max_tasks_per_child=_TASKS,
            )
            if number
            else None
        )

    def __enter__(self) -> "Workers":
        """The workers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What the function returns for each tuple of arguments, in their order."""
        if self._pool is None:
            return [function(*arguments) for arguments in calls]
        return list(self._pool.map(function, *zip(*calls, strict=True))) if calls else []


def rows_of(schedule: Schedule, folder: pathlib.Path, workers: Workers) -> list[Row]:
    """Tries every fault of a schedule.

    Args:
        schedule: How many.
        folder: Keeps the jobs, and the rows of every part that is done.
        workers: Do the work.

    Returns:
        Rows of all parts.
    """
    place = Place(folder.resolve())
    make_whole(schedule.jobs, place)
    commands.make_scratch(place)
    found: list[Row] = []
    for name, part in _parts(schedule, place, workers):
        path = folder / "parts" / f"{name.replace(' ', '-').replace(',', '')}.npz"
        rows, _ = kept(path, {"schedule": repr(dataclasses.asdict(schedule))}, functools.partial(_cell, part))
        missed = sum(each["score"] == "miss" for each in rows)
        tried = sum(int(each["value"]) for each in rows if each["score"] == "tried")
        print(f"faults: {name}, {tried:,} tried, {missed} missed", flush=True)
        for each in rows:
            if each["score"] == "miss":
                print(json.dumps({field: each[field] for field in ("kind", "what", "said")}), flush=True)
        found += rows
    return found


def _cell(part: Callable[[], list[Row]]) -> Cell:
    return part(), {}


def _parts(schedule: Schedule, place: Place, workers: Workers) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """Every part by its name; one that is not called costs nothing."""
    for job in schedule.jobs:
        yield f"operations, {job.name}", functools.partial(_operations, job, schedule, place, workers)
    yield "kills", lambda: count("kill", _killed(schedule, place, workers))
    yield "files", lambda: count("corruption of a file", _files(schedule, workers))
    yield "runs", lambda: count("corruption in a run", _runs(schedule, place, workers))
    yield "command lines", lambda: count("command line", _lines(schedule, place, workers))
    yield "full disk", lambda: count("full disk", _disks("full", schedule, place, workers))
    yield "read-only disk", lambda: count("read-only disk", _disks("read-only", schedule, place, workers))


def _operations(job: Job, schedule: Schedule, place: Place, workers: Workers) -> list[Row]:
    store = place.folder / "operations" / job.name.replace(" ", "-")
    shutil.rmtree(store, ignore_errors=True)
    moments, number = operations.record(job, schedule.jobs, place, store)
    calls = [(job, place, store, moment) for moment in moments[:: schedule.every]]
    trials: list[Trial] = workers.map(operations.resume_from, calls)
    shutil.rmtree(store)
    case = "kill at a file operation"
    return [*count(case, trials), row({"case": case, "kind": job.name}, "operations", number)]


def _killed(schedule: Schedule, place: Place, workers: Workers) -> list[Trial]:
    jobs = schedule.jobs if schedule.kills else ()
    calls = [(job, schedule.jobs, place, schedule.kills, seed) for seed, job in enumerate(jobs)]
    return [trial for trials in workers.map(kills.kill_often, calls) for trial in trials]


def _files(schedule: Schedule, workers: Workers) -> list[Trial]:
    starts = range(0, schedule.corruptions, _AT_ONCE)
    calls = [
        (name, range(start, min(start + _AT_ONCE, schedule.corruptions)))
        for name in schedule.kinds or (*READERS, *FOLDERS)
        for start in starts
    ]
    return [trial for trials in workers.map(corruptions.corrupt_files, calls) for trial in trials]


def _runs(schedule: Schedule, place: Place, workers: Workers) -> list[Trial]:
    calls = [(job, place, seed) for job in schedule.damaged for seed in range(schedule.runs)]
    return workers.map(corruptions.corrupt_run, calls)


def _lines(schedule: Schedule, place: Place, workers: Workers) -> list[Trial]:
    lines = wrong_lines.chosen(schedule.lines, schedule.jobs)
    calls = [(place, line, False) for line in lines]
    calls += [(place, line, True) for line in wrong_lines.chosen(schedule.processes, schedule.jobs, seed=1)]
    return workers.map(commands.try_line, calls)


def _disks(disk: disks.Disk, schedule: Schedule, place: Place, workers: Workers) -> list[Trial]:
    calls = [(job, schedule.jobs, place, disk, start) for job in schedule.jobs for start in schedule.starts]
    found = [trial for trial in workers.map(disks.on_disk, calls) if trial is not None]
    if disk == "read-only":
        return found + workers.map(disks.on_read_only, [(job, place) for job in schedule.jobs])
    limited = [(job, schedule.jobs, place, size) for job in schedule.jobs for size in schedule.limits]
    return found + workers.map(disks.with_limit, limited)
