"""Functions that users call, with one argument that is something else: a sound result, or InputError, and nothing else."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse

import geovq
from geovq import InputError, corpus, metric, models, scores
from tests.public_cases import CASES, ELSEWHERE, Case
from tests.typechecker import annotations_off

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    10**9,
    2**64,
    10**5000,
    1.5,
    float("nan"),
    float("inf"),
    1e300,
    True,
    np.int64(2),
)
OTHERS: tuple[Any, ...] = (
    *(
        None,
        "",
        "x",
        "auto",
        b"x",
        [],
        (),
        {},
        {"a": 1},
        object(),
        [None],
        ["x"],
        [[1], [1, 2]],
        lambda *_: 1,
        1j,
        range(3),
    ),
    *(np.zeros(0), np.array("x"), np.array([None]), np.zeros((0, 2, 4, 1)), np.array(3), scipy.sparse.eye(3)),
)


def change_array(rng: np.random.Generator, array: np.ndarray) -> Any:
    """Another shape, dtype, order, container or content."""
    kinds = ("f2", "f4", "f8", "i4", "i8", "u1", "?", "c8", "O", "U3", ">f4", "M8[s]")
    changes: tuple[Callable[[], Any], ...] = (
        lambda: array.astype(kinds[int(rng.integers(len(kinds)))]),
        lambda: array[:0],
        lambda: array[:1],
        lambda: array[:2],
        lambda: array[..., None],
        lambda: array[0],
        lambda: array.T,
        lambda: array.reshape(-1),
        lambda: np.asfortranarray(array),
        lambda: array[::-1],
        lambda: array.tolist(),
        lambda: list(array),
        lambda: np.zeros_like(array),
        lambda: np.full_like(array, 1),
        lambda: array * 1e30,
        lambda: array * 1e-30,
        lambda: -array,
        lambda: spoil(array, np.nan),
        lambda: spoil(array, np.inf),
        lambda: np.ma.masked_array(array, mask=np.zeros(array.shape, bool)),
        lambda: np.broadcast_to(array[:1], array.shape),
    )
    return changes[int(rng.integers(len(changes)))]()


def spoil(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.astype(np.float64)
    changed.flat[changed.size // 2] = value
    return changed


def change(rng: np.random.Generator, value: Any) -> Any:
    """Something else in the place of a good argument."""
    how = int(rng.integers(3))
    if isinstance(value, np.ndarray) and how:
        return change_array(rng, value)
    pool = NUMBERS if how == 1 else OTHERS
    return pool[int(rng.integers(len(pool)))]


def attempt(case: Case, name: str, seed: int) -> None:
    """Calls a function with one argument changed.

    Raises:
        AssertionError: It neither refuses the argument nor gives a sound result.
    """
    rng = np.random.default_rng([seed, len(name)])
    argument = list(case.good)[seed % len(case.good)]
    asked = case.good | {argument: change(rng, case.good[argument])}
    shown = f"{name}({argument}={_shown(asked[argument])}), seed {seed}"
    try:
        found = case.call(**asked)
    except InputError:
        return
    except Exception as error:
        raise AssertionError(f"{shown}: {type(error).__name__}: {error}") from error
    assert case.holds(found, **asked), f"{shown}: {found}"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    try:
        return repr(value)[:80]
    except ValueError:
        return "a number of many digits"


def run(name: str, seeds: range) -> None:
    with annotations_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            attempt(CASES[name], name, seed)


SETTINGS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "defaults": contextlib.nullcontext,
    "jax_enable_x64": lambda: jax.enable_x64(True),
    "jax_debug_nans": lambda: jax.debug_nans(True),
}
"""What users set for their own programs; jax_numpy_rank_promotion="raise" holds in all tests."""


def test_every_public_name_has_a_case_or_a_reason():
    names = {name for package in (geovq, corpus, metric, models, scores) for name in package.__all__}
    functions = {name for name in names if callable(getattr(geovq, name, None) or _found(name))}
    elsewhere = {name for group in ELSEWHERE.values() for name in group}
    assert functions <= {name.split(".")[0] for name in CASES} | elsewhere
    assert elsewhere <= functions


def _found(name: str) -> Any:
    return next(getattr(package, name) for package in (corpus, metric, models, scores) if hasattr(package, name))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_good_arguments_give_sound_results(setting, name):
    with warnings.catch_warnings(), SETTINGS[setting]():
        warnings.simplefilter("ignore")
        assert CASES[name].holds(CASES[name].call(**CASES[name].good), **CASES[name].good)


@pytest.mark.parametrize("name", CASES)
def test_any_argument_gives_a_sound_result_or_is_refused(name):
    run(name, range(20))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_arguments_give_a_sound_result_or_are_refused(name):
    run(name, range(20, 320))
