"""How far a stage is: a bar on a terminal, otherwise a plain line every few seconds."""

import sys
import time
from typing import Self

from geovq.cli.interruption import stop_if_asked

_SECONDS = 5.0


def as_time(seconds: float) -> str:
    """A duration for people: 95 s, 12 min, 3.1 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Progress:
    """Counts what is done. Use as a context manager; calling it adds to what is done."""

    def __init__(self, label: str, total: int | None, unit: str, done: int = 0):
        """Starts counting.

        Args:
            label: What is being done.
            total: Units in all; None if that is not known.
            unit: What is counted.
            done: Units that were done before.
        """
        self._label, self._total, self._unit = label, total, unit
        self._first = self._done = self._said = done
        self._started = self._spoke = time.monotonic()
        self._note = ""
        self._counted: int | None = None
        self._since = self._started
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # only where there is a terminal: training alone needs no tqdm

            self._bar = tqdm(total=total, initial=done, desc=label, unit=f" {unit}")

    def __enter__(self) -> Self:
        """The counter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the line."""
        if self._bar is not None:
            self._bar.close()
        elif self._done > self._said:
            self._say()

    def __call__(self, count: int = 1) -> None:
        """Adds to what is done. Raises KeyboardInterrupt where the program was asked to stop and nothing did."""
        self._done += count
        if self._counted is None:  # the pace is measured from here on, for the first count includes compilation
            self._counted, self._since = self._done, time.monotonic()
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._spoke > _SECONDS and self._done != self._total:
            self._say()
        stop_if_asked()

    def note(self, text: str) -> None:
        """Shows a short text behind the count from now on."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _say(self) -> None:
        self._spoke, self._said = time.monotonic(), self._done
        since, counted = self._since, self._counted or 0
        if self._done == counted:  # nothing came after the first count
            since, counted = self._started, self._first
        rate = (self._done - counted) / max(self._spoke - since, 1e-9)
        of = "" if self._total is None else f"/{self._total:,}"
        text = f"{self._label}: {self._done:,}{of} {self._unit}, {as_time(self._spoke - self._started)}, {rate:.3g} a second"
        if self._total is not None:
            text += f", {as_time((self._total - self._done) / max(rate, 1e-9))} left"
        print(f"{text}, {self._note}" if self._note else text, flush=True)
