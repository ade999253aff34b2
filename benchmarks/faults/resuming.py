"""Runs the same command after a fault, and compares the outcome."""

import pathlib

from benchmarks.faults.jobs import Job, Place, content, difference
from benchmarks.faults.programs import attempt, refusal
from benchmarks.faults.trials import Trial
from geovq.validation import InputError


def resume(job: Job, place: Place, folder: pathlib.Path, what: str, but: tuple[str, ...] = ()) -> Trial:
    """Runs a job's command in a folder that a fault has left, and compares what it ends with.

    Args:
        job: The job.
        place: Of all jobs, one of which was never interrupted.
        folder: What the fault has left.
        what: The fault.
        but: Paths that are not compared.
    """
    found = attempt(job.program, *job.command(folder, place.inputs))
    if found.returncode == 0:
        return compare(job, place, folder, what, but)
    said = refusal(found.stderr)
    if found.returncode == 2 and said:
        return Trial(job.name, what, "refused", said)
    return Trial(job.name, what, "anything else", f"status {found.returncode}: {found.stderr}")


def compare(job: Job, place: Place, folder: pathlib.Path, what: str, but: tuple[str, ...] = ()) -> Trial:
    """Compares the folder of a job that has ended with one that was never interrupted."""
    try:
        differs = difference(content(folder), content(place.whole(job)), but)
    except (InputError, OSError, KeyError) as error:
        differs = str(error)
    return Trial(job.name, what, "anything else" if differs else "same", differs)
