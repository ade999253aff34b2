"""Ctrl-C, SIGTERM and SIGHUP: a program stops where little is lost, and says how to go on; the second signal stops it at once.

A signal does not raise where a callback of JAX may swallow it, unless nothing better is at work: loops ask whether to stop.
"""

import contextlib
import os
import shlex
import signal
import sys
import types
from collections.abc import Callable, Iterator
from typing import NoReturn

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

STOPPED = 130
"""Status of a command of geovq that was asked to stop."""

EXIT_STATUS = 128
"""To which the number of the signal is added."""


class _State:
    """What this process was asked, and what it is at."""

    asked = 0
    """The signal that is waiting to be answered, or 0."""
    signal = signal.SIGINT
    """The last one that came."""
    working = False
    """Whether somebody catches KeyboardInterrupt and says how to go on."""
    careful = False
    """Whether a loop asks for itself."""


def is_program() -> bool:
    """Whether this process was started as `python -m train.X`."""
    started = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
    return any(name.startswith("train.") for name in started)


def listen() -> None:
    """Handles the signals, but for those that are ignored, as SIGHUP under nohup."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Within it the signals raise KeyboardInterrupt; afterwards they do what they did before."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        _State.asked, _State.working = 0, True
        with contextlib.suppress(ValueError):  # of a thread that is not the main one, which gets no signals
            listen()
        yield
    finally:
        _State.asked, _State.working = 0, False
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def careful() -> Iterator[None]:
    """Within it nothing raises: what is inside asks `asked_to_stop` where it can stop."""
    _State.careful = True
    try:
        yield
    finally:
        _State.careful = False


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether to stop, for a loop that asks it after every chunk."""
    with working(), careful():
        yield asked_to_stop


def asked_to_stop() -> bool:
    """Whether a signal came."""
    return _State.asked > 0


def stop_if_asked() -> None:
    """Raises KeyboardInterrupt where a signal came and was swallowed, unless a loop asks for itself."""
    if _State.asked and not _State.careful:
        raise KeyboardInterrupt


def same_command() -> str:
    """The command line of this process, for geovq."""
    return shlex.join(["geovq", *sys.argv[1:]])


def end_stopped(done: str) -> NoReturn:
    """Ends a command of geovq that was stopped.

    Args:
        done: How far it came.
    """
    print(f"stopped after {done}; this goes on:\n  {same_command()}", flush=True)
    raise SystemExit(STOPPED)


def leave(said: str) -> None:
    """Ends the process with a line and the signal's status, whatever its threads are at: they would crash an orderly end."""
    print(said, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_STATUS + _State.signal)


def _handle(number: int, frame: types.FrameType | None) -> None:
    again, _State.asked, _State.signal = bool(_State.asked), number, signal.Signals(number)
    if again or not _State.working:
        leave("stopped at once; the same command goes on from what was saved." if again else "interrupted.")
    if not _State.careful:
        raise KeyboardInterrupt
    print("stopping after what is at hand; once more stops at once.", file=sys.stderr, flush=True)
