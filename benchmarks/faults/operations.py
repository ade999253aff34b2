"""Kills at every file operation: a copy of the folder before each, and one with each file half-written; all are gone on with."""

import pathlib
import shutil
import tempfile
import threading
from typing import NamedTuple

from benchmarks.faults.going_on import go_on
from benchmarks.faults.programs import attempt
from benchmarks.faults.states import State, Store
from benchmarks.faults.trials import Trial
from benchmarks.faults.watch import watching
from benchmarks.faults.works import Place, Work, begin, succeed
from geovq.storage import digest


class Moment(NamedTuple):
    """A folder as a kill leaves it."""

    what: str
    """Before which operation, and what is half-written."""
    state: State


def record(work: Work, works: tuple[Work, ...], place: Place, folder: pathlib.Path) -> tuple[list[Moment], int]:
    """Runs a work once, with copies of its folder.

    Args:
        work: The work.
        works: All works, for the one that it goes on from.
        place: Where these are.
        folder: The contents of the copies go there.

    Returns:
        All different moments, and the number of operations.

    Raises:
        InputError: The work did not end well.
    """
    store, run = Store(folder / "contents"), folder / "recorded"
    shutil.rmtree(run, ignore_errors=True)
    begin(work, works, place, run)
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
        succeed(attempt(work.program, *work.command(run, place.inputs)))
    return list(moments.values()), operations


def go_on_from(work: Work, place: Place, store: pathlib.Path, moment: Moment) -> Trial:
    """Goes on from one copy, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=store) as folder:
        run = pathlib.Path(folder) / "run"
        if moment.state:
            Store(store / "contents").restore(moment.state, run)
        return go_on(work, place, run, moment.what)
