"""Full and read-only disks, in every job: one line, and with room again the same command ends with the same bits."""

import errno
import os
import pathlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Literal

from benchmarks.faults.jobs import Job, Place, begin
from benchmarks.faults.processes import finish, start
from benchmarks.faults.programs import Finished, attempt, command_line, refusal
from benchmarks.faults.resuming import compare, resume
from benchmarks.faults.trials import Trial
from benchmarks.faults.watch import Seen, watching

Disk = Literal["full", "read-only"]

_GROWS = ("open", "os.mkdir", "os.link", "os.symlink")
"""Operations that a full disk refuses."""


def fails(disk: Disk, start: int) -> tuple[Seen, Callable[[], bool]]:
    """Returns what a disk does from its operation `start` on, and whether it did so."""
    lock, count, failed = threading.Lock(), 0, False

    def seen(event: str, path: pathlib.Path) -> None:
        nonlocal count, failed
        with lock:
            count += 1
            if count > start and (disk == "read-only" or event in _GROWS):
                failed = True
                number = errno.ENOSPC if disk == "full" else errno.EROFS
                raise OSError(number, os.strerror(number), str(path))

    return seen, lambda: failed


def on_disk(job: Job, jobs: tuple[Job, ...], place: Place, disk: Disk, start: int) -> Trial | None:
    """Runs a job on a disk that fails from one of its operations on; then the same command on a good disk.

    Returns:
        None where the job has fewer operations.
    """
    seen, failed = fails(disk, start)
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        run = pathlib.Path(folder) / "run"
        begin(job, jobs, place, run)
        with watching(pathlib.Path(folder), seen):
            found = attempt(job.program, *job.command(run, place.inputs))
        if not failed():
            return None
        return _mended(job, place, run, found, f"the disk is {disk} from operation {start + 1} on")


def on_read_only(job: Job, place: Place) -> Trial:
    """Runs a complete job on a read-only disk: it has nothing to write, and any status but 0 is a miss."""
    seen, _ = fails("read-only", 0)
    what = "complete, on a read-only disk"
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        run = pathlib.Path(folder) / "run"
        shutil.copytree(place.whole(job), run)
        with watching(pathlib.Path(folder), seen):
            found = attempt(job.program, *job.command(run, place.inputs))
        if found.returncode != 0:
            return Trial(job.name, what, "anything else", f"status {found.returncode}: {found.stderr}")
        return compare(job, place, run, what)


def with_limit(job: Job, jobs: tuple[Job, ...], place: Place, size: int) -> Trial:
    """Runs a job in a process that cannot write files larger than `size` bytes; then without that limit."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        run = pathlib.Path(folder) / "run"
        begin(job, jobs, place, run)
        _, *words = command_line(job.program, job.command(run, place.inputs))
        limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
        limited = f"import os, resource, sys; {limit}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        found = finish(start([sys.executable, "-c", limited, *words]))
        return _mended(job, place, run, found, f"no file can be larger than {size:,} bytes")


def _mended(job: Job, place: Place, run: pathlib.Path, found: Finished, what: str) -> Trial:
    """Says what became of a job on a bad disk, once it is mended."""
    if found.returncode == 0:
        return compare(job, place, run, what)
    said = refusal(found.stderr)
    if found.returncode != 2 or said is None:
        return Trial(job.name, what, "anything else", f"status {found.returncode}: {found.stderr}")
    after = resume(job, place, run, what)
    if after.outcome == "same":
        return Trial(job.name, what, "refused", said)
    return after._replace(outcome="anything else", said=f"{said}; on a good disk then: {after.said}")
