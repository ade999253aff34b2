"""What checks annotations at run time in all tests; see `conftest.py`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Self

import jaxtyping
from beartype import BeartypeConf, beartype

CHECK = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""A whole number passes for a float, as it does for mypy."""


def typechecker(function: Callable) -> Callable:
    """Beartype. It knows `Self` in whole classes alone, and here gets one method at a time, so `Self` passes."""
    function.__annotations__ = {name: Any if hint is Self else hint for name, hint in function.__annotations__.items()}
    return CHECK(function)


@contextlib.contextmanager
def annotations_off() -> Iterator[None]:
    """Within it nothing is checked: for calls that break annotations on purpose, to be refused by the function itself."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
