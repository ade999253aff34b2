"""Kills at every file operation: a copy of the folder before each, and one with each file half-written; all are resumed."""

import pathlib
import shutil
import tempfile
import threading
from typing import NamedTuple

from benchmarks.faults.jobs import Job, Place, begin, succeed
from benchmarks.faults.programs import attempt
from benchmarks.faults.resuming import resume
from benchmarks.faults.states import State, Store
from benchmarks.faults.trials import Trial
from benchmarks.faults.watch import watching
from geovq.storage.bits import digest


class Moment(NamedTuple):
    """A folder as a kill leaves it."""

    what: str
    """Before which operation, and what is half-written."""
    state: State


def record(job: Job, jobs: tuple[Job, ...], place: Place, folder: pathlib.Path) -> tuple[list[Moment], int]:
    """Runs a job once, with copies of its folder.

    Args:
        job: The job.
        jobs: All jobs, for the one that it continues.
        place: Where these are.
        folder: The contents of the copies go there.

    Returns:
        All different moments, and the number of operations.

    Raises:
        InputError: The job did not end well.
    """
    store, run = Store(folder / "contents"), folder / "recorded"
    shutil.rmtree(run, ignore_errors=True)
    begin(job, jobs, place, run)
    moments: dict[str, Moment] = {}
    last, operations, lock = store.take(run), 0, threading.Lock()

    def keep(what: str, state: State) -> None:
        moments.setdefault(digest({}, state), Moment(what, state))

    def seen(event: str, path: pathlib.Path) -> None:
        nonlocal last, operations
        with lock:
            now, operations = store.take(run), operations + 1
            for name, torn in store.torn(last, now):
                keep(f"{name} half-written", torn)
            keep(f"before operation {operations}, {event} {path.relative_to(run.resolve())}", now)
            last = now

    with watching(run, seen):
        succeed(attempt(job.program, *job.command(run, place.inputs)))
    return list(moments.values()), operations


def resume_from(job: Job, place: Place, store: pathlib.Path, moment: Moment) -> Trial:
    """Resumes one copy, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=store) as folder:
        run = pathlib.Path(folder) / "run"
        if moment.state:
            Store(store / "contents").restore(moment.state, run)
        return resume(job, place, run, moment.what)
