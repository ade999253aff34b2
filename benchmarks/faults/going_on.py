"""The same command after a fault, and what became of it."""

import pathlib

from benchmarks.faults.programs import attempt, refusal
from benchmarks.faults.trials import Trial
from benchmarks.faults.works import Place, Work, content, difference
from geovq.validation import InputError


def go_on(work: Work, place: Place, folder: pathlib.Path, what: str, but: tuple[str, ...] = ()) -> Trial:
    """Runs a work's command in a folder that a fault has left, and compares what it ends with.

    Args:
        work: The work.
        place: Of all works, one of which was never interrupted.
        folder: What the fault has left.
        what: The fault.
        but: Paths that are not compared.
    """
    found = attempt(work.program, *work.command(folder, place.inputs))
    if found.returncode == 0:
        return compare(work, place, folder, what, but)
    said = refusal(found.stderr)
    if found.returncode == 2 and said:
        return Trial(work.name, what, "refused", said)
    return Trial(work.name, what, "anything else", f"status {found.returncode}: {found.stderr}")


def compare(work: Work, place: Place, folder: pathlib.Path, what: str, but: tuple[str, ...] = ()) -> Trial:
    """Compares the folder of a work that has ended with one that was never interrupted."""
    try:
        differs = difference(content(folder), content(place.whole(work)), but)
    except (InputError, OSError, KeyError) as error:
        differs = str(error)
    return Trial(work.name, what, "anything else" if differs else "same", differs)
