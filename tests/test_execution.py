"""Plans: what is asked is kept, the fastest is found, and neither chunks nor devices change a result."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq import execution
from geovq.checks import InputError
from geovq.execution import MEASURED, REPEATABLE, Plan, Settled, fast_options, fixed_plan, run, run_summed, tuned_plan


class Square:
    """Kernel: the square of a latent, times a parameter. Two passes for each of its entries."""

    def passes(self, shape):
        return 2 * shape[0]

    def __call__(self, decode, z, *, at_once):
        return decode(z) * z


SQUARE = Square()
TWICE = Partial(lambda a, z: a * z, np.float32(2))
Z = np.arange(12, dtype=np.float32).reshape(6, 2)


@pytest.mark.parametrize("passes", [1, 4, 8, 20, 1000])
def test_any_plan_gives_the_same(passes):
    plan = Plan(passes=passes)
    np.testing.assert_array_equal(run(SQUARE, TWICE, Z, plan=plan, progress=None), 2 * Z**2)
    np.testing.assert_array_equal(run_summed(SQUARE, TWICE, Z, plan=plan, progress=None), 2 * (Z**2).sum(axis=0))


def test_padding_that_is_not_finite_is_not_summed():
    ones = np.ones((3, 2), np.float32)
    counted = run_summed(SQUARE, Partial(lambda z: z / z), ones, plan=Plan(passes=8), progress=None)
    np.testing.assert_array_equal(counted, [3, 3])


def test_progress_counts_rows():
    done: list[int] = []
    run(SQUARE, TWICE, Z, plan=Plan(passes=16), progress=done.append)
    run_summed(SQUARE, TWICE, Z, plan=Plan(passes=16), progress=done.append)
    assert done == [4, 2, 4, 2]


def test_a_plan_without_passes_is_refused():
    with pytest.raises(InputError, match=r"expected a geovq.execution.Plan, found 8; pass Plan"):
        run(SQUARE, TWICE, Z, plan=8, progress=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1 pass at once, found 0"):
        run(SQUARE, TWICE, Z, plan=Plan(passes=0), progress=None)


def test_what_is_asked_is_kept():
    assert fixed_plan(Plan(passes=3, options=())) == Settled(3, (), None)
    assert fixed_plan() == Settled(512, fast_options(), None)


def test_options_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("no such option")

    monkeypatch.setattr(execution.jax, "jit", refuse)
    fast_options.cache_clear()
    try:
        assert fast_options() == ()
    finally:
        fast_options.cache_clear()


class Clock:
    """Seconds of a plan as if measured, and what was asked."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.asked: list[Settled] = []

    def __call__(self, kernel, decode, rows, plan):
        self.asked.append(plan)
        return self.seconds(plan)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(execution, "_tuned", {})
    monkeypatch.setattr(execution, "fast_options", lambda: (("fast", "yes"),))

    def install(seconds):
        found = Clock(seconds)
        monkeypatch.setattr(execution, "_seconds_per_row", found)
        return found

    return install


@pytest.mark.parametrize("best", [64, 256, 512, 2048])
@pytest.mark.parametrize("fast", [True, False])
def test_the_fastest_plan_is_found(best, fast, clock):
    clock(lambda plan: 1 + abs(np.log2(plan.passes / best)) + (bool(plan.options) != fast))
    assert tuned_plan(SQUARE, TWICE, Z) == Settled(best, (("fast", "yes"),) if fast else (), None)


def test_noise_does_not_move_the_plan(clock):
    clock(lambda plan: 1 - 0.001 * plan.passes / 512)
    assert tuned_plan(SQUARE, TWICE, Z).passes == 512


def test_what_does_not_fit_into_memory_is_passed_over(clock):
    clock(lambda plan: np.inf if plan.passes > 100 else 1)
    assert tuned_plan(SQUARE, TWICE, Z).passes == 64
    clock(lambda plan: np.inf)
    with pytest.raises(InputError, match="memory"):
        tuned_plan(SQUARE, TWICE, Z, asked=Plan(options=()))


def test_a_plan_is_measured_once_for_a_structure(clock):
    measured = clock(lambda plan: 1.0)
    tuned_plan(SQUARE, TWICE, Z)
    count = len(measured.asked)
    tuned_plan(SQUARE, Partial(TWICE.func, np.float32(3)), Z[:2])
    assert len(measured.asked) == count
    tuned_plan(SQUARE, TWICE, np.ones((4, 3), np.float32))
    assert len(measured.asked) > count


def test_only_much_work_is_measured_and_only_if_allowed(clock, monkeypatch):
    monkeypatch.setattr(execution, "fast_options", tuple)
    measured = clock(lambda plan: 1.0)
    run(SQUARE, TWICE, Z, plan=MEASURED, progress=None)
    assert not measured.asked
    monkeypatch.setattr(execution, "_WORTH_TUNING", 24)
    run(SQUARE, TWICE, Z, plan=REPEATABLE, progress=None)
    run(SQUARE, TWICE, Z, plan=Plan(passes=2), progress=None)
    assert not measured.asked
    run(SQUARE, TWICE, Z, plan=MEASURED, progress=None)
    assert measured.asked


def test_seconds_are_measured():
    assert 0 < execution._seconds_per_row(SQUARE, TWICE, (Z,), Settled(8, (), None)) < 10


def test_memory_that_runs_out_is_no_error_of_the_measurement(monkeypatch):
    def failing(message):
        def raises(*args):
            raise jax.errors.JaxRuntimeError(message)

        monkeypatch.setattr(execution, "_function", lambda *args: raises)

    failing("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
    assert execution._seconds_per_row(SQUARE, TWICE, (Z,), Settled(8, (), None)) == np.inf
    failing("INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        execution._seconds_per_row(SQUARE, TWICE, (Z,), Settled(8, (), None))


FOUR_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.tree_util import Partial
from geovq.amortised import assign_amortised
from geovq.decoded import assign_decoded
from geovq.execution import Plan
from geovq.joint import assign_joint
from geovq.kinds import measure_kinds
from geovq.metric import mean_metrics, pullback_metrics, token_metrics, sketches

traces = []


def wave(a, z):
    traces.append(None)
    return jnp.tanh(z.ravel() @ a)


rng = np.random.default_rng(0)
decode = Partial(wave, rng.standard_normal((12, 8)).astype(np.float32))
grids = rng.standard_normal((11, 2, 3, 2)).astype(np.float32)
codes, images = rng.standard_normal((5, 2)).astype(np.float32), np.asarray(jax.vmap(decode)(grids))
start, means = np.zeros((11, 2, 3), np.int32), np.broadcast_to(np.eye(2, dtype=np.float32), (2, 3, 2, 2))
kinds = measure_kinds(decode, grids, codes, means)
meshes = [
    jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,)),
    jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2),
    jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,)),
]
for mesh in meshes:
    one, many = Plan(passes=24), Plan(passes=24, mesh=mesh)
    for call in (
        lambda plan, n: token_metrics(decode, grids[:n], plan=plan),
        lambda plan, n: token_metrics(decode, grids[:n], probes=4, plan=plan),
        lambda plan, n: sketches(decode, grids[:n], probes=4, plan=plan),
        lambda plan, n: mean_metrics(decode, grids[:n], plan=plan).by_position,
        lambda plan, n: pullback_metrics(decode, grids[:n].reshape(n, 12), plan=plan),
        lambda plan, n: assign_joint(decode, images[:n], grids[:n], start[:n], codes, means, plan=plan).tokens,
        lambda plan, n: assign_joint(
            decode, images[:n], grids[:n], start[:n], codes, means, directions=5, plan=plan
        ).tokens,
        lambda plan, n: assign_amortised(
            decode, images[:n], grids[:n], start[:n], codes, means, kinds, plan=plan
        ).tokens,
        lambda plan, n: assign_decoded(decode, images[:n], start[:n], codes, means, plan=plan),
    ):
        np.testing.assert_allclose(call(many, 11), call(one, 11), rtol=1e-5, atol=1e-6)
        before = len(traces)
        for n in (1, 4, 8, 10):
            np.testing.assert_allclose(call(many, n), call(one, n), rtol=1e-5, atol=1e-6)
        assert len(traces) == before, "another number of rows compiled again"
print("same on", len(jax.devices()), "devices")
"""


def test_four_devices_give_what_one_gives():
    done = subprocess.run([sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "same on 4 devices" in done.stdout
