"""How a kernel runs on this machine: rows at once, compiler options, devices.

A kernel is written for one row. Here it is batched, compiled and cut into chunks. Small chunks win on a CPU, where they stay
in the cache, and large ones on an accelerator, so the default depends on the kind of machine, and on nothing else: the same call
gives the same bits.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from geovq.batching.chunks import Progress, map_chunks, padded_chunks
from geovq.validation import InputError

Options = tuple[tuple[str, str], ...]

Shared = Any
"""What all rows share: the decoder as a Partial, or a tree of arrays with it inside."""


class Plan(NamedTuple):
    """How much at once, how it is compiled, and where."""

    passes: int | None = None
    """Passes through the decoder that a device makes at once, at least 1: tangents of exact metrics, probes of sketched ones. A
    kernel takes no fewer than it needs for one token, and a call of fewer rows than fit is padded.
    None takes 512 on a CPU and 16,384 on an accelerator."""
    options: Options | None = None
    """Options of XLA, name and value. None takes `fast_options`."""
    mesh: Mesh | None = None
    """Devices of this process among which the rows are divided, along all axes; None takes the default device."""


DEFAULT_PLAN = Plan()
"""Defaults for the kind of machine, on the default device."""


class Settled(NamedTuple):
    """A plan with all its defaults filled in."""

    passes: int
    options: Options
    mesh: Mesh | None


@runtime_checkable
class Kernel(Hashable, Protocol):
    """A computation for one row. It is hashable, and equal to another that compiles to the same code.

    Its attribute `donated_rows`, if it has one, names rows by their index whose memory the result may take.
    """

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder that a latent of this shape takes, beside the first."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(shared, *row, at_once=passes) -> the result for one row, with so many passes at once if it can be divided."""


@functools.cache
def fast_options() -> Options:
    """Options of XLA that make convolutions faster: on a CPU they go to another library, where this jaxlib has it."""
    name = "xla_cpu_experimental_ynn_fusion_type"
    value = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    if jax.default_backend() != "cpu":
        return ()
    try:
        jax.jit(lambda x: x + 1, compiler_options={name: value}).lower(jnp.zeros(1)).compile()
    except Exception:  # whatever a compiler says of an option that it does not know
        return ()
    return ((name, value),)


def settle(plan: Plan = DEFAULT_PLAN) -> Settled:
    """The plan with its defaults filled in.

    Args:
        plan: Fields that are not None are kept.

    Raises:
        InputError: Not a Plan, or fewer than one pass.
    """
    if not isinstance(plan, Plan):
        raise InputError(f"plan: expected a geovq.Plan, found {plan!r}; pass Plan(passes=...).")
    if plan.passes is not None and plan.passes < 1:
        raise InputError(f"plan: expected at least 1 pass at once, found {plan.passes}.")
    passes = 512 if jax.default_backend() == "cpu" else 16384
    return Settled(
        passes if plan.passes is None else plan.passes,
        fast_options() if plan.options is None else plan.options,
        plan.mesh,
    )


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

    def __call__(self, kernel: Kernel, shared: Shared, *rows: Any) -> Any:
        """What the kernel returns, with a leading axis of the chunk's rows."""
        return _function(kernel, shared, self.plan)(*rows)


def run_program(
    program: Program, shared: Shared, *rows: np.ndarray, plan: Plan = DEFAULT_PLAN, progress: Progress | None = None
) -> Any:
    """`run` of a program: arguments, results and errors are the same."""
    settled = settle(plan)
    shared = _placed(shared, settled)
    return map_chunks(
        functools.partial(program, Call(settled), shared),
        *rows,
        chunk=_chunk(program, rows, settled),
        pad=True,
        check=check_rows_finite,
        progress=progress,
    )


def run(
    kernel: Kernel, shared: Shared, *rows: np.ndarray, plan: Plan = DEFAULT_PLAN, progress: Progress | None = None
) -> Any:
    """The kernel at every row, on the host.

    Args:
        kernel: What is computed.
        shared: The decoder, or a tree that holds it and what else all rows share.
        rows: Arrays (n, ...), the latents first.
        plan: How.
        progress: Called after every chunk with the rows done.

    Returns:
        What the kernel returns, an array or a tree of them, with a leading axis n.

    Raises:
        InputError: A plan without passes, or a row whose result is not finite, as soon as it is there.
    """
    settled = settle(plan)
    function = _function(kernel, shared, settled)
    return map_chunks(
        function, *rows, chunk=_chunk(kernel, rows, settled), pad=True, check=check_rows_finite, progress=progress
    )


def run_summed(
    kernel: Kernel, shared: Shared, *rows: np.ndarray, plan: Plan = DEFAULT_PLAN, progress: Progress | None = None
) -> np.ndarray:
    """The sum over all rows of what `run` would return, without keeping that: chunks on the devices, their sums in float64."""
    settled = settle(plan)
    function, chunk = _function(kernel, shared, settled, summed=True), _chunk(kernel, rows, settled)
    total: Any = 0.0
    for span, batch in padded_chunks(*rows, chunk=chunk):
        count = span.stop - span.start
        sums = np.asarray(function(*batch, np.arange(chunk) < count), np.float64).sum(axis=0)
        if not np.isfinite(sums).all():
            check_rows_finite(span.start, np.asarray(_function(kernel, shared, settled)(*batch))[:count])
        total = total + sums
        if progress is not None:
            progress(count)
    return total


def _chunk(kernel: Kernel | Program, rows: tuple[np.ndarray, ...], plan: Settled) -> int:
    """Rows of a call on all devices together."""
    each = max(1, plan.passes // kernel.passes(rows[0].shape[1:]))
    return each * (1 if plan.mesh is None else plan.mesh.size)


def _function(kernel: Kernel, shared: Shared, plan: Settled, *, summed: bool = False) -> Callable:
    """The compiled kernel, as a function of a chunk of rows on the host."""
    compiled = _compile(kernel, plan, summed=summed)
    if plan.mesh is None:
        return functools.partial(compiled, shared)
    everywhere = _placed(shared, plan)
    divided = NamedSharding(plan.mesh, PartitionSpec(plan.mesh.axis_names))
    return lambda *rows: compiled(everywhere, *jax.device_put(rows, divided))


def _placed(shared: Shared, plan: Settled) -> Shared:
    """What all rows share, on every device of a mesh."""
    return shared if plan.mesh is None else jax.device_put(shared, NamedSharding(plan.mesh, PartitionSpec()))


@functools.lru_cache(maxsize=64)
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

    donated = tuple(1 + row for row in getattr(kernel, "donated_rows", ()))
    function = local if plan.mesh is None else on_devices
    return jax.jit(function, donate_argnums=donated, compiler_options=dict(plan.options))


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
