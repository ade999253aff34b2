"""Assigners divided among several devices."""

import subprocess
import sys

FOUR_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.tree_util import Partial
from geovq.assignment.amortised import assign_amortised
from geovq.assignment.clusters import measure_kinds
from geovq.assignment.greedy import assign_decoded
from geovq.assignment.joint import assign_joint
from geovq.batching.run import Plan

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
mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
one, many = Plan(passes=24), Plan(passes=24, mesh=mesh)


def given(n):
    return decode, images[:n], grids[:n], start[:n], codes, means


for call in (
    lambda plan, n: assign_joint(*given(n), plan=plan).tokens,
    lambda plan, n: assign_joint(*given(n), directions=5, plan=plan).tokens,
    lambda plan, n: assign_amortised(*given(n), kinds, plan=plan).tokens,
    lambda plan, n: assign_decoded(decode, images[:n], start[:n], codes, means, plan=plan),
):
    np.testing.assert_array_equal(call(many, 11), call(one, 11))
    before = len(traces)
    for n in (1, 10):
        np.testing.assert_array_equal(call(many, n), call(one, n))
    assert len(traces) == before, "another number of rows compiled again"
print("same on", len(jax.devices()), "devices")
"""


def test_four_devices_give_what_one_gives():
    done = subprocess.run([sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "same on 4 devices" in done.stdout
