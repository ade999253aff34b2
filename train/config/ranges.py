"""Numbers that an option may have, stated where the option is declared and checked before the first stage begins."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Annotated

from geovq.validation import InputError


@dataclasses.dataclass(frozen=True)
class Range:
    """Legal numbers; of an option with several numbers, each has to be legal."""

    text: str
    """For messages: expected TEXT, found ..."""
    contains: Callable[[float], bool]


def between(least: float, most: float) -> Range:
    """Numbers from `least` to `most`."""
    return Range(f"{least:,}..{most:,}", lambda value: least <= value <= most)


_LARGEST = 1e30
"""Of a number with a point, so that it is one of float32."""

Natural = Annotated[int, between(0, 10**9)]
Count = Annotated[int, between(1, 10**9)]
Codes = Annotated[int, between(1, 1 << 20)]
Size = Annotated[int, between(1, 1 << 14)]
Seed = Annotated[int, between(0, (1 << 32) - 1)]
Weight = Annotated[float, Range(f"a number in 0..{_LARGEST:g}", lambda value: 0 <= value <= _LARGEST)]
Positive = Annotated[float, Range(f"a number above 0, at most {_LARGEST:g}", lambda value: 0 < value <= _LARGEST)]
Fraction = Annotated[float, Range("a number in [0, 1)", lambda value: 0 <= value < 1)]
Share = Annotated[float, Range("a number in (0, 1]", lambda value: 0 < value <= 1)]


def check_ranges(section: str, options: object) -> None:
    """Refuses numbers outside the ranges of their options.

    Args:
        section: Name of the options, for the message.
        options: A dataclass; fields annotated with a `Range` are checked.

    Raises:
        InputError: Names the option, its range and its value.
    """
    for name, hint in typing.get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        for legal in (item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Range)):
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(isinstance(number, int | float) and legal.contains(number) for number in numbers):
                path = f"{section}.{name}"
                raise InputError(f"{path}: expected {legal.text}, found {value}; change --{path.replace('_', '-')}.")
