"""Kernels at many rows: neither chunks nor devices change a result, and memory that cannot do is refused."""

import subprocess
import sys

import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.batching import run as execution
from geovq.batching.plan import Plan
from geovq.batching.run import run, run_program, run_summed
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


class Fourth:
    """Program: `Square` of what `Square` gives."""

    def passes(self, shape):
        return SQUARE.passes(shape)

    def __call__(self, call, decode, z):
        return call(SQUARE, decode, call(SQUARE, decode, z))


@pytest.mark.parametrize("passes", [1, 8, 1000])
def test_a_program_calls_kernels_one_after_the_other(passes):
    np.testing.assert_array_equal(run_program(Fourth(), TWICE, Z, plan=Plan(passes=passes)), 8 * Z**4)
    with pytest.raises(InputError, match="NaN or infinity at latent 1"):
        run_program(Fourth(), TWICE, np.array([[1], [np.inf]], np.float32), plan=Plan(passes=passes))


def test_padding_that_is_not_finite_is_not_summed():
    ones = np.ones((3, 2), np.float32)
    counted = run_summed(SQUARE, Partial(lambda z: z / z), ones, plan=Plan(passes=8), progress=None)
    np.testing.assert_array_equal(counted, [3, 3])


def test_progress_counts_rows():
    done: list[int] = []
    run(SQUARE, TWICE, Z, plan=Plan(passes=16), progress=done.append)
    run_summed(SQUARE, TWICE, Z, plan=Plan(passes=16), progress=done.append)
    assert done == [4, 2, 4, 2]


@pytest.mark.parametrize("memory", [400, 1000, None])
def test_any_memory_gives_the_same(memory):
    plan = Plan(memory=memory)
    np.testing.assert_array_equal(run(SQUARE, TWICE, Z, plan=plan), 2 * Z**2)
    np.testing.assert_array_equal(run_summed(SQUARE, TWICE, Z, plan=plan), 2 * (Z**2).sum(axis=0))


class Pair:
    """Kernel: a latent and its image, in four passes whatever its size, of a decoder that stands beside another array."""

    def passes(self, shape):
        return 4

    def __call__(self, shared, z, *, at_once):
        return shared[0](z), z


def test_what_rows_share_counts_once_beside_the_decoder():
    shared = TWICE, np.zeros(1000, np.float32)
    with pytest.raises(InputError, match=r"expected at least 3.9. KiB"):
        run(Pair(), shared, Z, plan=Plan(memory=3000))
    image, latent = run(Pair(), shared, Z, plan=Plan(memory=5000))
    np.testing.assert_array_equal(image, 2 * latent)


def test_latents_of_any_size_and_plans_of_more_memory_share_compiled_code():
    kernel, before = Pair(), execution._compile.cache_info().misses
    for size in (2, 3, 5):
        for memory in (1 << 12, 1 << 13):
            run(kernel, (TWICE,), np.ones((2, size), np.float32), plan=Plan(passes=1 << 20, memory=memory))
    assert execution._compile.cache_info().misses == before + 1


def test_few_rows_are_padded_to_a_power_of_two_at_most(monkeypatch):
    sizes: list[int] = []
    chunks = execution.map_chunks

    def noted(*args, chunk, **options):
        sizes.append(chunk)
        return chunks(*args, chunk=chunk, **options)

    monkeypatch.setattr(execution, "map_chunks", noted)
    for n in (1, 2, 3, 5, 17, 32, 100):
        run(SQUARE, TWICE, np.ones((n, 2), np.float32), plan=Plan(passes=4 * 24))
    assert sizes == [1, 2, 4, 8, 24, 24, 24]


FOUR_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.tree_util import Partial
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.plan import Plan
from geovq.decoder.autoencoder import encode_images
from geovq.metric.batched import mean_metrics, pullback_metrics, sketches, token_metrics

traces = []


def wave(a, z):
    traces.append(None)
    return jnp.tanh(z.ravel() @ a)


rng = np.random.default_rng(0)
decode = Partial(wave, rng.standard_normal((12, 8)).astype(np.float32))
grids = rng.standard_normal((11, 2, 3, 2)).astype(np.float32)
line = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
square = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
explicit = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,))


def exact(plan, n):
    return token_metrics(decode, grids[:n], plan=plan)


def means(plan, n):
    return mean_metrics(decode, grids[:n], plan=plan).by_position


for mesh, call in (
    (line, exact),
    (square, exact),
    (explicit, exact),
    (square, means),
    (explicit, means),
    (line, lambda plan, n: token_metrics(decode, grids[:n], probes=4, plan=plan)),
    (line, lambda plan, n: sketches(decode, grids[:n], probes=4, plan=plan)),
    (line, lambda plan, n: pullback_metrics(decode, grids[:n].reshape(n, 12), plan=plan)),
):
    one, many = Plan(passes=24), Plan(passes=24, mesh=mesh)
    for n in (11, 6, 4, 2, 1):  # as many rows as fit, and powers of two
        np.testing.assert_allclose(call(many, n), call(one, n), rtol=1e-5, atol=1e-6)
    before = len(traces)
    for n in (3, 5, 10):
        np.testing.assert_allclose(call(many, n), call(one, n), rtol=1e-5, atol=1e-6)
    assert len(traces) == before, "another number of rows compiled again"
codes, flat = rng.standard_normal((2, 5, 2)).astype(np.float32), grids.reshape(-1, 2)
encode, pixels = Partial(lambda x: jnp.tanh(x[:, ::2, ::2])), rng.integers(0, 256, (11, 4, 6, 2), np.uint8)
for mesh in (line, square, explicit):
    np.testing.assert_array_equal(nearest_tokens(flat, codes, mesh=mesh), nearest_tokens(flat, codes))
    np.testing.assert_allclose(encode_images(encode, pixels, plan=Plan(mesh=mesh)), encode_images(encode, pixels), rtol=1e-5)
print("same on", len(jax.devices()), "devices")
"""


def test_four_devices_give_what_one_gives():
    done = subprocess.run([sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "same on 4 devices" in done.stdout
