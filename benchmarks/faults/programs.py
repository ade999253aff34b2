"""The project's programs, called in this process: to start one takes seconds, and thousands of calls are made."""

import contextlib
import importlib
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

from train.run.command_line import run_program
from train.run.folder import unlocked_after

GEOVQ = "geovq"
"""The program that is not started by `python -m`."""


class Finished(NamedTuple):
    """How a program ended."""

    returncode: object
    stdout: str
    stderr: str


def call(program: str, *words: object) -> Finished:
    """Runs a program in this process, without huge pages; what it raises goes through.

    Args:
        program: geovq, or the module of another, such as train.vae.
        words: Its command line.
    """
    main, name = _main_of(program)
    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [name, *map(str, words)]),
        mock.patch.object(sys, "unraisablehook", sys.unraisablehook),
        mock.patch("train.run.command_line.use_huge_pages"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
    return Finished(code, printed.getvalue(), said.getvalue())


def _main_of(program: str) -> tuple[Callable[[], None], str]:
    """Returns what the program does, and the name that it sees itself under."""
    if program == GEOVQ:
        return importlib.import_module("geovq.cli.program").main, GEOVQ
    module: Any = importlib.import_module(program)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{program}.__main__")
    return lambda: run_program(module.main), module.__file__


def attempt(program: str, *words: object) -> Finished:
    """As `call`; an error that goes through is a status of 1 and its traceback, and the run folder is free afterwards."""
    with unlocked_after():
        try:
            return call(program, *words)
        except Exception:  # whatever it is, it counts
            return Finished(1, "", traceback.format_exc())


def command_line(program: str, words: Sequence[object]) -> list[str]:
    """Returns the command of a process of its own."""
    module = "geovq.cli.program" if program == GEOVQ else program
    return [sys.executable, "-m", module, *map(str, words)]


def refusal(said: str) -> str | None:
    """Returns the one line that a program refuses with; None where it says more than one error, or shows a traceback."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if len(errors) != 1 or "Traceback" in said or not said.rstrip().endswith(errors[0]):
        return None
    return errors[0]
