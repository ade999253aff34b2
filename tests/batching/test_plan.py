"""Plans: what is asked is kept, and nonsense is refused."""

import numpy as np
import pytest

from geovq.batching import plan as plans
from geovq.batching.plan import Plan, Settled, default_memory, fast_options, settle
from geovq.validation import InputError


def test_what_is_asked_is_kept():
    assert settle(Plan(passes=3, memory=1000, options=())) == Settled(3, 1000, (), None)
    of_numpy = Plan(passes=np.int64(3), memory=np.int64(1000), options=())  # type: ignore[arg-type]
    assert settle(of_numpy) == Settled(3, 1000, (), None)
    assert settle() == Settled(512, default_memory(), fast_options(), None)


@pytest.mark.parametrize(("machine", "wanted"), [(8 << 30, 1 << 30), (64 << 30, 2 << 30)])
def test_a_cpu_gives_an_eighth_of_its_memory_and_two_gib_at_most(machine, wanted, monkeypatch):
    monkeypatch.setattr(plans, "_machine_memory", lambda: machine)
    default_memory.cache_clear()
    try:
        assert default_memory() == wanted
    finally:
        default_memory.cache_clear()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (8, r"expected a geovq.Plan, found 8; pass Plan"),
        (Plan(passes=0), "at least 1 pass at once, found 0; pass a whole number"),
        (Plan(passes=True), "at least 1 pass at once, found True"),
        (Plan(memory=0), "memory as a whole number of bytes, found 0; pass for example"),
        (
            Plan(memory="2 GiB"),  # type: ignore[arg-type]
            r"found '2 GiB'; pass for example Plan\(memory=2 << 30\) for 2 GiB",
        ),
        (Plan(memory=2e9), "found 2000000000.0"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused(plan, message):
    with pytest.raises(InputError, match=message):
        settle(plan)


def test_options_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("no such option")

    monkeypatch.setattr(plans.jax, "jit", refuse)
    fast_options.cache_clear()
    try:
        assert fast_options() == ()
    finally:
        fast_options.cache_clear()
