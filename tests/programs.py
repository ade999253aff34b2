"""The project's programs as a user sees them: most are called in the tests' process, because to start one takes seconds."""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks.faults.programs import Finished, call

_SECONDS = 300
"""A process that takes longer than this is a failure."""


def program(name: str, *flags: str) -> Finished:
    """Runs `python -m train.NAME FLAGS` in this process, without huge pages."""
    return call(f"train.{name}", *flags)


def process(name: str, *flags: str) -> Finished:
    """The same in a process of its own: where Orbax's threads fail, whose errors pytest would report."""
    command = [sys.executable, "-m", f"train.{name}", *flags]
    found = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    return Finished(found.returncode, found.stdout, found.stderr)


def kill_when(due: Callable[[], bool], name: str, *flags: str) -> str:
    """Starts a program in a process of its own and kills it as soon as it is due.

    Args:
        due: Looks at what the program has written.
        name: Name of the program.
        flags: Its flags.

    Returns:
        What it printed.
    """
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", f"train.{name}", *flags]
        started = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _SECONDS
        while started.poll() is None and not due() and time.monotonic() < deadline:
            time.sleep(0.02)
        running = started.poll() is None
        started.kill()
        started.wait()
        log.seek(0)
        printed = log.read()
    assert running, f"expected a program to be killed, found one that had ended:\n{printed}"
    return printed


def lines_of(path: pathlib.Path) -> int:
    """Lines of a log that may not be there yet."""
    return len(path.read_text().splitlines()) if path.exists() else 0
