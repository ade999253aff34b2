"""Programs in processes of their own; one that hangs is killed, and has a status that no program has."""

import os
import pathlib
import subprocess
from collections.abc import Sequence

from benchmarks.faults.programs import Finished

SECONDS = 600
"""After which a process is given up."""

HUNG = "hung"
"""In the place of the status of a process that was given up."""


def start(command: Sequence[str], **variables: str) -> subprocess.Popen[str]:
    """Starts a process, with pipes for what it says.

    Args:
        command: Program and arguments.
        **variables: Of its environment, besides those of this process.
    """
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])} | variables
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str], seconds: float = SECONDS) -> Finished:
    """Waits for the end of a process; afterwards there is no such process, however it ended.

    Args:
        process: With pipes.
        seconds: After which it is killed.

    Returns:
        How it ended; with the status `HUNG` where it had to be killed.
    """
    try:
        printed, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return Finished(HUNG, *process.communicate())
    return Finished(process.returncode, printed, said)
