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
from jax.sharding import NamedSharding, PartitionSpec
from jax.tree_util import Partial

from geovq.batching.budget import Share, divide, rows_of_call
from geovq.batching.chunks import Progress, map_chunks, padded_chunks
from geovq.batching.memory import DecoderMemory, RowMemory, decoder_memory
from geovq.batching.plan import DEFAULT_PLAN as DEFAULT_PLAN
from geovq.batching.plan import Plan as Plan
from geovq.batching.plan import Settled as Settled
from geovq.batching.plan import settle as settle
from geovq.validation import InputError

Shared = Any
"""What all rows share: the decoder as a Partial, or a tree of arrays with it inside."""


@runtime_checkable
class Kernel(Hashable, Protocol):
    """A computation for one row. It is hashable, and equal to another that compiles to the same code."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder that a latent of this shape takes, beside the first."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(shared, *row, at_once=passes) -> the result for one row, with so many passes at once if it can be divided."""


@runtime_checkable
class Sized(Protocol):
    """A kernel or program that says what memory it takes; of another it is assumed that its passes share one linearisation."""

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """Bytes of a row, for a decoder that takes so many for one latent of this shape."""


@runtime_checkable
class Program(Protocol):
    """A computation of several kernels for a chunk of rows, one after the other: each compiles by itself, and soon."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder that a latent of this shape takes at once."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(call, shared, *rows) -> the results for a chunk of rows; `call` is `Call`, for kernels of the same rows."""


@dataclasses.dataclass(frozen=True)
class Call:
    """Runs kernels on a chunk of rows, and leaves what they return on the devices."""

    plan: Settled
    passes: int
    """Of a row at once."""

    def __call__(self, kernel: Kernel, shared: Shared, *rows: Any) -> Any:
        """What the kernel returns, with a leading axis of the chunk's rows."""
        return _function(kernel, shared, self.passes, self.plan)(*rows)


def run_program(
    program: Program, shared: Shared, *rows: np.ndarray, plan: Plan = DEFAULT_PLAN, progress: Progress | None = None
) -> Any:
    """`run` of a program: arguments, results and errors are the same."""
    settled = settle(plan)
    share = _share(program, shared, rows, None, settled)
    return map_chunks(
        functools.partial(program, Call(settled, share.passes), _placed(shared, settled)),
        *rows,
        chunk=_chunk(len(rows[0]), share, settled),
        pad=True,
        check=check_rows_finite,
        progress=progress,
    )


def run(
    kernel: Kernel,
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
    settled = settle(plan)
    share = _share(kernel, shared, rows, latent_shape, settled)
    function, chunk = _function(kernel, shared, share.passes, settled), _chunk(len(rows[0]), share, settled)
    return map_chunks(function, *rows, chunk=chunk, pad=True, check=check_rows_finite, progress=progress)


def run_summed(
    kernel: Kernel,
    shared: Shared,
    *rows: np.ndarray,
    latent_shape: tuple[int, ...] | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> np.ndarray:
    """The sum over all rows of what `run` would return, without keeping that: chunks on the devices, their sums in float64."""
    settled = settle(plan)
    share = _share(kernel, shared, rows, latent_shape, settled)
    function, chunk = (
        _function(kernel, shared, share.passes, settled, summed=True),
        _chunk(len(rows[0]), share, settled),
    )
    total: Any = 0.0
    for span, batch in padded_chunks(*rows, chunk=chunk):
        count = span.stop - span.start
        sums = np.asarray(function(*batch, np.arange(chunk) < count), np.float64).sum(axis=0)
        if not np.isfinite(sums).all():
            every = _function(kernel, shared, share.passes, settled)
            check_rows_finite(span.start, np.asarray(every(*batch))[:count])
        total = total + sums
        if progress is not None:
            progress(count)
    return total


def _share(
    kernel: Kernel | Program,
    shared: Shared,
    rows: tuple[np.ndarray, ...],
    latent_shape: tuple[int, ...] | None,
    plan: Settled,
) -> Share:
    """What a device computes at once."""
    shape = rows[0].shape[1:] if latent_shape is None else latent_shape
    passes = kernel.passes(shape)
    decode = next(filter(_is_function, jax.tree.leaves(shared, is_leaf=_is_function)), None)
    dtype = rows[0].dtype if np.issubdtype(rows[0].dtype, np.floating) else np.float32  # of latents, or tokens
    memory = None if decode is None else decoder_memory(decode, shape, dtype)
    if memory is None:
        return Share(max(1, plan.passes // passes), plan.passes)
    row = kernel.memory(memory, shape) if isinstance(kernel, Sized) else memory.products()
    return divide(plan, memory, row, shape, passes=passes)


def _is_function(part: Any) -> bool:
    return isinstance(part, Partial)


def _chunk(n: int, share: Share, plan: Settled) -> int:
    """Rows of a call on all devices together."""
    devices = 1 if plan.mesh is None else plan.mesh.size
    return rows_of_call(-(-n // devices), share.rows) * devices


def _function(kernel: Kernel, shared: Shared, passes: int, plan: Settled, *, summed: bool = False) -> Callable:
    """The compiled kernel, as a function of a chunk of rows on the host."""
    # What is compiled depends on memory only by the number of passes at once.
    compiled = _compile(kernel, plan._replace(passes=passes, memory=0), summed=summed)
    if plan.mesh is None:
        return functools.partial(compiled, shared)
    everywhere = _placed(shared, plan)
    divided = NamedSharding(plan.mesh, PartitionSpec(plan.mesh.axis_names))
    return lambda *rows: compiled(everywhere, *jax.device_put(rows, divided))


def _placed(shared: Shared, plan: Settled) -> Shared:
    """What all rows share, on every device of a mesh."""
    return shared if plan.mesh is None else jax.device_put(shared, NamedSharding(plan.mesh, PartitionSpec()))


@functools.lru_cache(maxsize=512)  # lists of images of many sizes take some for each size
def _compile(kernel: Kernel, plan: Settled, *, summed: bool) -> Callable:
    """Function of what is shared and a chunk of rows; `summed` also takes which rows count, and adds them up on each device."""

    def every(shared: Shared, *rows: Any) -> Any:
        one = functools.partial(kernel, at_once=plan.passes)
        return jax.vmap(one, in_axes=(None,) + (0,) * len(rows))(shared, *rows)

    def total(shared: Shared, *rows: Any) -> Any:
        *arrays, counts = rows
        found = every(shared, *arrays)
        kept = jnp.where(counts.reshape(-1, *(1,) * (found.ndim - 1)), found, jnp.zeros((1,) * found.ndim, found.dtype))
        return kept.sum(axis=0, keepdims=True)

    local = total if summed else every
    along = None if plan.mesh is None else PartitionSpec(plan.mesh.axis_names)

    def on_devices(shared: Shared, *rows: Any) -> Any:
        specs = (PartitionSpec(),) + (along,) * len(rows)
        return jax.shard_map(local, mesh=plan.mesh, in_specs=specs, out_specs=along, check_vma=False)(shared, *rows)

    function = local if plan.mesh is None else on_devices
    return jax.jit(function, compiler_options=dict(plan.options))


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
