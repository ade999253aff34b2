"""Whether a stored value is of the type that its option is declared with."""

import types
import typing
from typing import Annotated, Literal, Union


def check_kind(path: str, hint: object, value: object) -> None:
    """Refuses a value of another type than an option has.

    Args:
        path: Of the option, for the message.
        hint: Its type: numbers, text, literals, tuples, unions of these and annotations of them.
        value: What was stored.

    Raises:
        TypeError: With the option and the value.
    """
    if not _fits(hint, value):
        raise TypeError(f"{path}: {value!r:.80}")


def _fits(hint: object, value: object) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _fits(arguments[0], value)
    if origin is Literal:
        return type(value) is str and value in arguments
    if origin in (Union, types.UnionType):
        return any(_fits(each, value) for each in arguments)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if isinstance(value, tuple) and Ellipsis in arguments else arguments
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, kinds, value))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
