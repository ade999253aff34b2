"""Ctrl-C and SIGTERM ask a loop to stop after the chunk at hand; a second one stops at once."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from geovq.cli.loading import same_command

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

STOPPED = 130
"""Status of a command that was asked to stop."""


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """A function that says whether to stop, while the block runs. Signals that are ignored, as under nohup, stay so."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        os.write(2, b"\nstopping after this chunk; once more stops at once\n")

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number in taken:
            signal.signal(number, before[number])


def end_stopped(done: str) -> NoReturn:
    """Ends a command that was stopped.

    Args:
        done: How far it came.
    """
    print(f"stopped after {done}; this goes on:\n  {same_command()}", flush=True)
    raise SystemExit(STOPPED)
