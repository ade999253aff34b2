"""What checks annotations at run time in all tests; see `conftest.py`."""

from collections.abc import Callable
from typing import Any, Self

from beartype import BeartypeConf, beartype

CONF = BeartypeConf(is_pep484_tower=True)
"""A whole number passes for a float, as it does for mypy."""


def typechecker(function: Callable) -> Callable:
    """Beartype. It knows `Self` in whole classes alone, and here gets one method at a time, so `Self` passes."""
    function.__annotations__ = {name: Any if hint is Self else hint for name, hint in function.__annotations__.items()}
    return beartype(function, conf=CONF)
