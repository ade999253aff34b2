"""The program `geovq` as a user sees it: called in the tests' process, because to start one takes seconds; or started."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
from unittest import mock

from geovq.cli.program import main
from tests.programs import Finished

ROOT = pathlib.Path(__file__).parents[2]

COMMAND = [sys.executable, "-m", "geovq.cli.program"]


def geovq(*words: object) -> Finished:
    """Runs the program in this process."""
    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["geovq", *map(str, words)]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
    return Finished(code, printed.getvalue(), said.getvalue())


def start(*words: object) -> subprocess.Popen:
    """Starts the program in a process of its own, from this checkout."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [*COMMAND, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
