"""The program `geovq` as a user sees it: called in the tests' process, because to start one takes seconds; or started."""

import os
import pathlib
import subprocess
import sys

from benchmarks.faults.programs import Finished, call

ROOT = pathlib.Path(__file__).parents[2]

COMMAND = [sys.executable, "-m", "geovq.cli.program"]


def geovq(*words: object) -> Finished:
    """Runs the program in this process."""
    return call("geovq", *words)


def start(*words: object) -> subprocess.Popen:
    """Starts the program in a process of its own, from this checkout."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [*COMMAND, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
