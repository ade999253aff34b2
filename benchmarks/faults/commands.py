"""Wrong command lines: each is refused, in a line that names what is wrong, before anything is written."""

import pathlib
import shutil
import tempfile

from benchmarks.faults.jobs import STAGES, Place
from benchmarks.faults.processes import finish, start
from benchmarks.faults.programs import Finished, attempt, command_line, refusal
from benchmarks.faults.trials import Trial
from benchmarks.faults.wrong_lines import NEEDED, Line, kind_of


def make_scratch(place: Place) -> None:
    """Makes the files that wrong command lines name."""
    scratch = place.folder / "scratch"
    (scratch / "folder").mkdir(parents=True, exist_ok=True)
    (scratch / "empty").write_text("")
    (scratch / "text.npz").write_text("nothing of the kind\n" * 50)


def try_line(place: Place, line: Line, started: bool = False) -> Trial:
    """Tries a wrong command line and says what became of it.

    Args:
        place: Of all jobs and the scratch folder.
        line: The command.
        started: In a process of its own.
    """
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        run = pathlib.Path(folder) / "run"
        if line.program in NEEDED:
            job = next(each for each in STAGES if each.name == NEEDED[line.program])
            shutil.copytree(place.whole(job), run)
        names = {"inputs": place.inputs, "scratch": place.folder / "scratch", "out": f"{folder}/out", "run": run}
        words = [word.format(**names) for word in line.words]
        watched = (pathlib.Path(folder), place.inputs, place.folder / "scratch")
        before = _files(*watched)
        found = finish(start(command_line(line.program, words))) if started else attempt(line.program, *words)
        after = _files(*watched)
    how = "in a process of its own: " if started else ""
    what = f"{how}{line.program} {' '.join(line.words)[:300]}"
    changed = sorted(path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        return Trial(
            kind_of(line), what, "anything else", f"changed: {', '.join(changed)}; said: {found.stderr[-1000:]}"
        )
    return _judge(line, what, found)


def _files(*folders: pathlib.Path) -> dict[pathlib.Path, tuple[int, int]]:
    """Sizes and times of all files and folders below some folders."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def _judge(line: Line, what: str, found: Finished) -> Trial:
    said = refusal(found.stderr) or _of_parser(found)
    if found.returncode == 2 and said and line.named.replace("-", "_") in said.replace("-", "_"):
        return Trial(kind_of(line), what, "refused", said)
    return Trial(kind_of(line), what, "anything else", f"status {found.returncode}: {found.stderr[-1500:]}")


def _of_parser(found: Finished) -> str | None:
    """What argparse says, a usage and one error below it; or tyro, an error in a frame."""
    said = found.stderr or found.stdout
    lines = said.strip().splitlines()
    if "Traceback" in said or not lines:
        return None
    if said.startswith("usage:") and ": error: " in lines[-1]:
        return lines[-1]
    framed = " ".join(line.strip("|│─╭╮╰╯+- ") for line in lines)
    return framed if "For full helptext" in framed else None
