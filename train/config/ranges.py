"""Numbers that an option may have, stated where the option is declared and checked before the first stage begins."""

import dataclasses
import math
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


def at_least(least: float) -> Range:
    """Finite numbers from `least` on."""
    return Range(f"at least {least:g}", lambda value: least <= value < math.inf)


Natural = Annotated[int, at_least(0)]
Count = Annotated[int, at_least(1)]
Weight = Annotated[float, at_least(0)]
Positive = Annotated[float, Range("a finite number above 0", lambda value: 0 < value < math.inf)]
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
