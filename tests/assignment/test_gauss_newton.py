"""The Gauss-Newton loop on four devices and on one."""

import subprocess
import sys

FOUR_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.tree_util import Partial
from geovq.assignment import Amortised, Codebook, Greedy, Inputs, Joint, measure_clusters
from geovq.batching.plan import Plan
from geovq.metric.neighbours import neighbour_metrics

traces = []


def wave(a, z):
    traces.append(None)
    return jnp.tanh(z.ravel() @ a)


rng = np.random.default_rng(0)
decode = Partial(wave, rng.standard_normal((12, 8)).astype(np.float32))
grids = rng.standard_normal((11, 2, 3, 2)).astype(np.float32)
images, start = np.asarray(jax.vmap(decode)(grids)), np.zeros((11, 2, 3, 1), np.int32)
means = np.broadcast_to(np.eye(2, dtype=np.float32), (2, 3, 2, 2))
codebook = Codebook(rng.standard_normal((1, 5, 2)).astype(np.float32), means)
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
for assigner in (
    Joint(jacobians=1, corrections=1),
    Joint(directions=5, jacobians=1, corrections=1),
    Amortised(clusters=measure_clusters(decode, grids, codebook)),
    Greedy(),
):
    def tokens(plan, n):
        return assigner(decode, codebook, Inputs(grids[:n], images[:n], start=start[:n]), plan=plan)

    one, many = Plan(passes=24), Plan(passes=24, mesh=mesh)
    for n in (11, 4, 2, 1):  # as many rows as fit, and powers of two
        np.testing.assert_array_equal(tokens(many, n), tokens(one, n))
    before = len(traces)
    for n in (3, 10):
        np.testing.assert_array_equal(tokens(many, n), tokens(one, n))
    assert len(traces) == before, "another number of rows compiled again"


def blocks(a, z):
    wide = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)
    return jnp.tanh(wide @ a + jnp.roll(wide, 1, axis=0) / 3 @ a)


# Large grids: windows are divided among the devices as their rows are.
decode = Partial(blocks, rng.standard_normal((2, 3)).astype(np.float32))
grids = rng.standard_normal((5, 6, 5, 2)).astype(np.float32)
images = np.asarray(jax.vmap(decode)(grids))
codebook = Codebook(codebook.codes, np.eye(2, dtype=np.float32)[None, None])
for passes in (4, 64):
    one, many = Plan(passes=passes), Plan(passes=passes, mesh=mesh)
    found, wanted = (neighbour_metrics(decode, grids, plan=plan) for plan in (many, one))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    joint, inputs = Joint(jacobians=1, corrections=1), Inputs(grids, images)
    tokens = [joint(decode, codebook, inputs, plan=plan) for plan in (one, many)]
    np.testing.assert_array_equal(*tokens)
print("same on", len(jax.devices()), "devices")
"""


def test_four_devices_give_the_tokens_of_one():
    done = subprocess.run([sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "same on 4 devices" in done.stdout
