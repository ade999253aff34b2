"""Times of alternatives in turn, and the memory that a call takes."""

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every way in every round; all ways have a turn in each, after a first round that does not count.

    Each round begins with another way, since a way is affected by the one that ran before it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            ways[name]()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


_RESET_PEAK = pathlib.Path("/proc/self/clear_refs")


def peak_bytes_of(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """What the call returns, and by how much the memory in use rose at its peak; None where the system is not Linux."""
    if not _RESET_PEAK.exists():
        return call(), None
    _RESET_PEAK.write_text("5")
    before = _memory("VmRSS")
    found = call()
    return found, _memory("VmHWM") - before


def _memory(name: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)
