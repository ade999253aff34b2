"""Processes that are killed at random moments; the same command resumes them and ends with the same bits."""

import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable

from benchmarks.faults.jobs import Job, Place, begin
from benchmarks.faults.processes import SECONDS, finish, start
from benchmarks.faults.programs import Finished, command_line
from benchmarks.faults.resuming import compare
from benchmarks.faults.trials import Trial
from geovq.cli.interruption import EXIT_STATUS, STOPPED

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def kill(
    process: subprocess.Popen, at_work: Callable[[], bool] | None, after: float, number: signal.Signals
) -> Finished:
    """Sends a signal to a process and waits for its end.

    Args:
        process: With pipes for what it says.
        at_work: Asked until it is true; None to count from the start.
        after: Seconds from then on.
        number: The signal.

    Returns:
        How it ended; with the status `HUNG` where it was not at work in time, or did not end.
    """
    if at_work is not None:
        deadline = time.monotonic() + SECONDS
        while not at_work() and process.poll() is None:
            if time.monotonic() > deadline:
                return finish(process, 0)
            time.sleep(0.01)
    time.sleep(after)
    process.send_signal(number)
    return finish(process)


def was_killed(ended: Finished) -> bool:
    """Says whether the signal ended the process, at once or after it had saved, and not an error of its own."""
    return "Traceback" not in ended.stderr and ended.returncode in (
        STOPPED,
        *(-number for number in SIGNALS),
        *(EXIT_STATUS + number for number in SIGNALS),
    )


def kill_often(job: Job, jobs: tuple[Job, ...], place: Place, kills: int, seed: int) -> list[Trial]:
    """Kills a job's command again and again; each time that it has ended well, its folder is compared and it begins anew.

    Args:
        job: The job.
        jobs: All jobs.
        place: Where they are.
        kills: How often.
        seed: Of moments and signals.
    """
    dice = random.Random(seed)
    trials: list[Trial] = []
    waiting: list[str] = []  # kills of the present folder
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        cache = _own_cache(pathlib.Path(folder))
        run, seconds = pathlib.Path(folder) / "run", _seconds(job, jobs, place, pathlib.Path(folder), cache)
        while len(trials) + len(waiting) < kills or waiting:
            if not run.exists():
                begin(job, jobs, place, run)
            last = len(trials) + len(waiting) == kills
            process, began = _start(job, place, run, cache), time.time()
            number = dice.choice(SIGNALS)
            early, after = dice.random() < 0.2, dice.uniform(0, 0.6) * seconds[1]
            what = f"{number.name} {after:.2f} s after {'the start' if early else 'the first file'}"
            if last:
                ended = finish(process)
            elif early:
                ended = kill(process, None, dice.random() * seconds[0], number)
            else:
                ended = kill(process, functools.partial(_changed, run, began), after, number)
            if ended.returncode == 0:
                found = compare(job, place, run, "")
                trials += [Trial(job.name, each, found.outcome, found.said) for each in waiting]
                waiting = []
                shutil.rmtree(run)
            elif not last and was_killed(ended):
                waiting.append(what)
            else:
                said = f"status {ended.returncode}: {ended.stdout}{ended.stderr}"
                trials += [Trial(job.name, each, "anything else", said) for each in [*waiting, what]]
                waiting = []
                shutil.rmtree(run)
    return trials[:kills]


def _own_cache(folder: pathlib.Path) -> pathlib.Path:
    """Makes a cache of compiled functions with what the environment's has, because a kill may leave half an entry."""
    cache, shared = folder / "compiled", os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if shared and pathlib.Path(shared).is_dir():
        shutil.copytree(shared, cache, copy_function=os.link)
    return cache


def _seconds(
    job: Job, jobs: tuple[Job, ...], place: Place, folder: pathlib.Path, cache: pathlib.Path
) -> tuple[float, float]:
    """Measures the seconds until a job's process writes its first file, and from then on."""
    run = folder / "timed"
    begin(job, jobs, place, run)
    began, process, first = time.time(), _start(job, place, run, cache), None
    while process.poll() is None and time.time() - began < SECONDS:
        first = time.time() if first is None and _changed(run, began) else first
        time.sleep(0.01)
    ended = time.time()
    finish(process, 1)
    shutil.rmtree(run)
    first = ended if first is None else first
    return first - began, ended - first


def _changed(folder: pathlib.Path, since: float) -> bool:
    """Says whether a file below a folder is younger."""
    try:
        return any(path.stat().st_mtime > since for path in folder.rglob("*") if path.is_file())
    except FileNotFoundError:  # it was renamed meanwhile
        return True


def _start(job: Job, place: Place, run: pathlib.Path, cache: pathlib.Path) -> subprocess.Popen:
    return start(
        command_line(job.program, job.command(run, place.inputs)),
        JAX_COMPILATION_CACHE_DIR=str(cache),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
