"""How a kernel runs on this machine: rows at once, compiled, on one device or several.

A kernel is written for one row. Here it is batched, compiled and cut into chunks, as many rows and passes at once as a plan
(`geovq.batching.plan`) allows.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial

from geovq.batching import processes
from geovq.batching.budget import Share, divide, rows_of_call
from geovq.batching.chunks import Progress, divided, map_chunks, padded_chunks
from geovq.batching.memory import DecoderMemory, RowMemory, decoder_memory, tree_bytes
from geovq.batching.plan import DEFAULT_PLAN, Options, Plan, Settled, settle
from geovq.validation import InputError

Shared = Any
"""What all rows share: the decoder as a Partial, or a tree of arrays with it inside."""


@runtime_checkable
class Kernel(Hashable, Protocol):
    """A computation for one row. It is hashable, and equal to another that compiles to the same code."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(shared, *row, at_once=passes) -> the result for one row, with so many passes at once if it can be divided."""


@runtime_checkable
class Counted(Protocol):
    """A kernel or program that says how much of the decoder a row takes."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder that a latent of this shape takes at once, beside the first."""


@runtime_checkable
class CountedKernel(Kernel, Counted, Protocol):
    """A kernel that can be run by itself."""


@runtime_checkable
class Program(Counted, Protocol):
    """A computation of several kernels for a chunk of rows, one after the other: each compiles by itself, and soon."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(call, shared, *rows) -> the results for a chunk of rows; `call` is `Call`, for kernels of the same rows."""


@runtime_checkable
class Sized(Protocol):
    """A kernel or program that says what memory it takes; of another it is assumed that its passes share one linearisation."""

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """Bytes of a row, for a decoder that takes so many for one latent of this shape."""


@dataclasses.dataclass(frozen=True)
class Call:
    """Runs kernels on a chunk of rows, and leaves what they return on the devices."""

    plan: Settled
    passes: int
    """Of a row at once."""

    def __call__(self, kernel: Kernel, shared: Shared, *rows: Any) -> Any:
        """What the kernel returns, with a leading axis of the chunk's rows."""
        function = _compile(kernel, self.passes, self.plan.options, self.plan.mesh)
        return function(shared, *divided(rows, self.plan.mesh))


def run(
    kernel: CountedKernel,
    shared: Shared,
    *rows: np.ndarray,
    latent_shape: tuple[int, ...] | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Any:
    """The kernel at every row, on the host.

    Args:
        kernel: What is computed.
        shared: The decoder, or a tree that holds it and what else all rows share.
        rows: Arrays (n, ...), the latents first.
        latent_shape: Of a latent, where the first array is not of latents.
        plan: How.
        progress: Called after every chunk with the rows done.

    Returns:
        What the kernel returns, an array or a tree of them, with a leading axis n.

    Raises:
        InputError: A plan without passes or memory, a row that does not fit in its memory, or one whose result is not finite,
            as soon as it is there.
    """
    shape = rows[0].shape[1:] if latent_shape is None else latent_shape
    call, shared, chunk = _prepare(kernel, shared, rows, shape, plan)
    function = functools.partial(call, kernel, shared)
    return map_chunks(
        function, *rows, chunk=chunk, pad=True, mesh=call.plan.mesh, check=check_rows_finite, progress=progress
    )


def run_program(
    program: Program, shared: Shared, *rows: np.ndarray, plan: Plan = DEFAULT_PLAN, progress: Progress | None = None
) -> Any:
    """`run` of a program: arguments, results and errors are the same."""
    call, shared, chunk = _prepare(program, shared, rows, rows[0].shape[1:], plan)

    def function(*some: Any) -> Any:
        return program(call, shared, *divided(some, call.plan.mesh))

    return map_chunks(
        function, *rows, chunk=chunk, pad=True, mesh=call.plan.mesh, check=check_rows_finite, progress=progress
    )


def run_summed(
    kernel: CountedKernel,
    shared: Shared,
    *rows: np.ndarray,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> np.ndarray:
    """The sum over all rows of what `run` would return, without keeping that: chunks on the devices, their sums in float64."""
    call, shared, chunk = _prepare(kernel, shared, rows, rows[0].shape[1:], plan)
    part = processes.part()
    total: Any = 0.0
    for span, some in padded_chunks(*rows, chunk=chunk, part=part):
        count = span.stop - span.start
        found = call(kernel, shared, *some)
        sums = np.asarray(_sum_first(found, count), np.float64)
        if not np.isfinite(sums).all():
            check_rows_finite(span.start, np.asarray(found)[:count])
        total = total + sums
        if progress is not None:
            progress(count)
    counts = part.index * chunk < len(rows[0])  # where there are more processes than chunks, some have the same
    return processes.gather(total * counts).sum(axis=0)


@jax.jit
def _sum_first(found: jax.Array, count: jax.Array | int) -> jax.Array:
    """The sum of the first rows, whatever the others hold."""
    counts = (jnp.arange(len(found)) < count).reshape(-1, *(1,) * (found.ndim - 1))
    return jnp.where(counts, found, jnp.zeros((1,) * found.ndim, found.dtype)).sum(axis=0)


def _prepare(
    work: Counted, shared: Shared, rows: tuple[np.ndarray, ...], shape: tuple[int, ...], plan: Plan
) -> tuple[Call, Shared, int]:
    """How kernels are called, what rows share on the devices, and the rows of a call on all devices together."""
    settled = settle(plan)
    share, devices = _share(work, shared, rows, shape, settled), 1 if settled.mesh is None else settled.mesh.size
    chunk = rows_of_call(-(-len(rows[0]) // (devices * processes.part().count)), share.rows) * devices
    if settled.mesh is not None:
        shared = jax.device_put(shared, NamedSharding(settled.mesh, PartitionSpec()))
    return Call(settled, share.passes), shared, chunk


def _share(work: Counted, shared: Shared, rows: tuple[np.ndarray, ...], shape: tuple[int, ...], plan: Settled) -> Share:
    """What a device computes at once; no more passes of a row than it takes, so that the same code serves any plan of more."""
    passes = work.passes(shape)
    decode = next(filter(_is_function, jax.tree.leaves(shared, is_leaf=_is_function)), None)
    dtype = rows[0].dtype if np.issubdtype(rows[0].dtype, np.floating) else np.float32  # of latents, or tokens
    memory = None if decode is None else decoder_memory(decode, shape, dtype)
    if memory is None:
        return Share(max(1, plan.passes // passes), min(plan.passes, passes))
    memory = memory._replace(parameters=memory.parameters + tree_bytes(shared) - tree_bytes(decode))
    row = work.memory(memory, shape) if isinstance(work, Sized) else memory.products()
    share = divide(plan, memory, row, shape, passes=passes)
    return share._replace(passes=min(share.passes, passes))


def _is_function(part: Any) -> bool:
    return isinstance(part, Partial)


@functools.lru_cache(maxsize=512)
def _compile(kernel: Kernel, passes: int, options: Options, mesh: Mesh | None) -> Callable:
    """Function of what is shared and a chunk of rows, with so many passes of a row at once."""
    along = None if mesh is None else PartitionSpec(mesh.axis_names)

    def local(shared: Shared, *rows: Any) -> Any:
        one = functools.partial(kernel, at_once=passes)
        return jax.vmap(one, in_axes=(None,) + (0,) * len(rows))(shared, *rows)

    def on_devices(shared: Shared, *rows: Any) -> Any:
        specs = (PartitionSpec(),) + (along,) * len(rows)
        return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=along, check_vma=False)(shared, *rows)

    return jax.jit(local if mesh is None else on_devices, compiler_options=dict(options))


def check_rows_finite(first: int, found: Any) -> None:
    """Checks that what a decoder gave is finite.

    Args:
        first: Number of the first row.
        found: Results of some rows: an array, or a tree of arrays.

    Raises:
        InputError: Naming the first bad row.
    """
    leaves = jax.tree.leaves(found)
    bad = ~np.all([np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1) for leaf in leaves], axis=0)
    if bad.any():
        raise InputError(
            f"decoder: expected finite images and derivatives, found NaN or infinity at latent {first + int(bad.argmax())}; "
            "check the decoder there."
        )
