"""Plans: what is asked is kept, and neither chunks nor devices change a result."""

import subprocess
import sys

import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.batching import run as execution
from geovq.batching.run import Plan, Settled, fast_options, run, run_summed, settle
from geovq.validation import InputError


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
    with pytest.raises(InputError, match=r"expected a geovq.Plan, found 8; pass Plan"):
        run(SQUARE, TWICE, Z, plan=8, progress=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1 pass at once, found 0"):
        run(SQUARE, TWICE, Z, plan=Plan(passes=0), progress=None)


def test_what_is_asked_is_kept():
    assert settle(Plan(passes=3, options=())) == Settled(3, (), None)
    assert settle() == Settled(512, fast_options(), None)


def test_options_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("no such option")

    monkeypatch.setattr(execution.jax, "jit", refuse)
    fast_options.cache_clear()
    try:
        assert fast_options() == ()
    finally:
        fast_options.cache_clear()


FOUR_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.tree_util import Partial
from geovq.assignment import Amortised, Codebook, Greedy, Inputs, Joint, measure_clusters
from geovq.batching.run import Plan
from geovq.metric.batched import mean_metrics, pullback_metrics, token_metrics, sketches

traces = []


def wave(a, z):
    traces.append(None)
    return jnp.tanh(z.ravel() @ a)


rng = np.random.default_rng(0)
decode = Partial(wave, rng.standard_normal((12, 8)).astype(np.float32))
grids = rng.standard_normal((11, 2, 3, 2)).astype(np.float32)
codes, images = rng.standard_normal((1, 5, 2)).astype(np.float32), np.asarray(jax.vmap(decode)(grids))
codebook = Codebook(codes, np.broadcast_to(np.eye(2, dtype=np.float32), (2, 3, 2, 2)))
clusters = measure_clusters(decode, grids, codebook)


def tokens_by(assigner):
    start = np.zeros((11, 2, 3, 1), np.int32)
    return lambda plan, n: assigner(decode, codebook, Inputs(grids[:n], images[:n], start=start[:n]), plan=plan)


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
        tokens_by(Joint(jacobians=1, corrections=1)),
        tokens_by(Joint(directions=5, jacobians=1, corrections=1)),
        tokens_by(Amortised(clusters=clusters)),
        tokens_by(Greedy()),
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
