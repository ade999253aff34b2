"""The project's programs as a user sees them: most are called in the tests' process, for to start one takes seconds."""

import contextlib
import importlib
import io
import subprocess
import sys
from typing import NamedTuple
from unittest import mock

from train.run.command_line import run_program


class Finished(NamedTuple):
    """How a program ended."""

    returncode: object
    stdout: str
    stderr: str


def program(name: str, *flags: str) -> Finished:
    """Runs `python -m train.NAME FLAGS`, but for the start of a process: huge pages, and what an import says."""
    module = importlib.import_module(f"train.{name}")
    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [module.__file__, *flags]),
        mock.patch.object(sys, "unraisablehook", sys.unraisablehook),
        mock.patch("train.run.command_line.use_huge_pages"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        try:
            run_program(module.main)
            code: object = 0
        except SystemExit as ended:
            code = ended.code
    return Finished(code, printed.getvalue(), said.getvalue())


def process(name: str, *flags: str) -> Finished:
    """The same in a process of its own: for what an import says, and for Orbax's threads, whose errors pytest would report."""
    command = [sys.executable, "-m", f"train.{name}", *flags]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return Finished(found.returncode, found.stdout, found.stderr)
