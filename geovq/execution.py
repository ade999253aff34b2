"""How a kernel runs on this machine: how much of it at once, with which compiler options, on how many devices.

A kernel is written for one row. Here it is batched, compiled and cut into chunks. Small chunks win on a CPU, where they stay
in the cache, and large ones on an accelerator: what is fastest is measured where there is much to do. `REPEATABLE` measures
nothing and depends on the kind of machine alone, so that results keep their bits from run to run.
"""

import functools
import math
import statistics
import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial

from geovq.checks import InputError
from geovq.chunks import Progress, map_chunks, padded_chunks
from geovq.decoder_checks import check_rows_finite
from geovq.decoders import structure

Options = tuple[tuple[str, str], ...]

Shared = Any
"""What all rows share: the decoder as a Partial, or a tree of arrays with it inside."""


class Plan(NamedTuple):
    """How much at once, how it is compiled, and where."""

    passes: int | None = None
    """Passes through the decoder that a device makes at once, at least 1: tangents of exact metrics, probes of sketched ones. A
    kernel takes no fewer than it needs for one token, and a call of fewer rows than fit is padded.
    None takes what is good for the kind of machine, and measures where there is much to do."""
    options: Options | None = None
    """Options of XLA, name and value. None takes `fast_options`, or none where that is measured, with the passes, as faster."""
    mesh: Mesh | None = None
    """Devices of this process among which the rows are divided, along all axes; None takes the default device."""
    measure: bool = True
    """Whether what is None may be measured; else it depends on the kind of machine alone."""


MEASURED = Plan()
"""The fastest by measurement, on the default device."""

REPEATABLE = Plan(measure=False)
"""Good on most machines of a kind, and the same in every run."""


class Settled(NamedTuple):
    """A plan without open questions."""

    passes: int
    options: Options
    mesh: Mesh | None


class Kernel(Hashable, Protocol):
    """Something to compute for one row; hashable, and equal to another that compiles to the same code."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder that a latent of this shape takes, beside the first."""

    @property
    def __call__(self) -> Callable[..., Any]:
        """(decode, *row, at_once=passes) -> the result for one row, with so many passes at once if it can be divided."""


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


def fixed_plan(asked: Plan = MEASURED) -> Settled:
    """The plan that is good on most machines of the kind, and the same in every run.

    Args:
        asked: What is not None in it is kept.

    Returns:
        The plan.
    """
    passes = 512 if jax.default_backend() == "cpu" else 16384
    return Settled(
        passes if asked.passes is None else asked.passes,
        fast_options() if asked.options is None else asked.options,
        asked.mesh,
    )


_tuned: dict[Hashable, Settled] = {}

_WORTH_TUNING = 1 << 18
"""Passes of a whole call below which it takes no longer than the measurement would."""

_GAIN = 0.95
"""A plan has to take less than this part of the best one's time to be preferred."""


def tuned_plan(kernel: Kernel, decode: Shared, *rows: np.ndarray, asked: Plan = MEASURED) -> Settled:
    """The fastest plan that a short measurement finds; measured once in a process for a kernel and a decoder's structure.

    Starts from `fixed_plan`, drops its compiler options if they do not pay, and doubles or halves the passes while that pays.
    A plan that does not fit into memory is passed over.

    Args:
        kernel: What is computed.
        decode: The decoder.
        rows: Arrays (n, ...) of which some rows are used, the latents first.
        asked: What is not None in it is kept.

    Returns:
        The plan.

    Raises:
        InputError: A decoder of which no pass fits into memory.
    """
    key = (kernel, structure(decode, rows[0].shape[1:]), rows[0].dtype.name, jax.default_backend(), asked)
    if key not in _tuned:
        _tuned[key] = _climb(lambda plan: _seconds_per_row(kernel, decode, rows, plan), asked)
    return _tuned[key]


def _climb(seconds: Callable[[Settled], float], asked: Plan) -> Settled:
    best = fixed_plan(asked)
    least = seconds(best)

    def improved(trial: Settled) -> bool:
        nonlocal best, least
        found = seconds(trial)
        if not found < _GAIN * least:
            return False
        best, least = trial, found
        return True

    if asked.options is None and best.options:
        improved(best._replace(options=()))
    if asked.passes is None:
        while math.isinf(least) and best.passes > 1:
            best = best._replace(passes=best.passes // 2)
            least = seconds(best)
        started = best.passes
        while improved(best._replace(passes=2 * best.passes)):
            pass
        while 1 < best.passes <= started and improved(best._replace(passes=best.passes // 2)):
            pass
    if math.isinf(least):
        raise InputError(
            "decoder: expected memory for a pass through it, found too little; free some, or make it smaller."
        )
    return best


def _seconds_per_row(kernel: Kernel, decode: Shared, rows: tuple[np.ndarray, ...], plan: Settled) -> float:
    chunk = _chunk(kernel, rows, plan)
    batch = [np.resize(array[:chunk], (chunk, *array.shape[1:])) for array in rows]
    function = functools.partial(_function(kernel, decode, plan), *batch)
    times = []
    try:
        jax.block_until_ready(function())
        for _ in range(3):
            started = time.perf_counter()
            jax.block_until_ready(function())
            times.append(time.perf_counter() - started)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return math.inf
    return statistics.median(times) / chunk


def run(kernel: Kernel, decode: Shared, *rows: np.ndarray, plan: Plan, progress: Progress | None) -> Any:
    """The kernel at every row, on the host.

    Args:
        kernel: What is computed.
        decode: The decoder, or a tree that holds it and what else all rows share.
        rows: Arrays (n, ...), the latents first.
        plan: How.
        progress: Called after every chunk with the rows done.

    Returns:
        What the kernel returns, an array or a tree of them, with a leading axis n.

    Raises:
        InputError: A plan without passes, or a row whose result is not finite, as soon as it is there.
    """
    settled = _settle(kernel, decode, rows, plan)
    function = _function(kernel, decode, settled)
    return map_chunks(
        function, *rows, chunk=_chunk(kernel, rows, settled), pad=True, check=check_rows_finite, progress=progress
    )


def run_summed(kernel: Kernel, decode: Shared, *rows: np.ndarray, plan: Plan, progress: Progress | None) -> np.ndarray:
    """The sum over all rows of what `run` would return, without keeping that: chunks on the devices, their sums in float64."""
    settled = _settle(kernel, decode, rows, plan)
    function, chunk = _function(kernel, decode, settled, summed=True), _chunk(kernel, rows, settled)
    total: Any = 0.0
    for place, batch in padded_chunks(*rows, chunk=chunk):
        count = place.stop - place.start
        sums = np.asarray(function(*batch, np.arange(chunk) < count), np.float64).sum(axis=0)
        if not np.isfinite(sums).all():
            check_rows_finite(place.start, np.asarray(_function(kernel, decode, settled)(*batch))[:count])
        total = total + sums
        if progress is not None:
            progress(count)
    return total


def _settle(kernel: Kernel, decode: Shared, rows: tuple[np.ndarray, ...], plan: Plan) -> Settled:
    if not isinstance(plan, Plan):
        raise InputError(f"plan: expected a geovq.execution.Plan, found {plan!r}; pass Plan(passes=...).")
    if plan.passes is not None and plan.passes < 1:
        raise InputError(f"plan: expected at least 1 pass at once, found {plan.passes}.")
    if plan.measure and plan.passes is None and len(rows[0]) * kernel.passes(rows[0].shape[1:]) >= _WORTH_TUNING:
        return tuned_plan(kernel, decode, *rows, asked=plan)
    return fixed_plan(plan)


def _chunk(kernel: Kernel, rows: tuple[np.ndarray, ...], plan: Settled) -> int:
    """Rows of a call on all devices together."""
    each = max(1, plan.passes // kernel.passes(rows[0].shape[1:]))
    return each * (1 if plan.mesh is None else plan.mesh.size)


def _function(kernel: Kernel, decode: Shared, plan: Settled, *, summed: bool = False) -> Callable:
    """The compiled kernel, as a function of a chunk of rows on the host."""
    compiled = _compiled(kernel, plan, summed=summed)
    if plan.mesh is None:
        return functools.partial(compiled, decode)
    everywhere = jax.device_put(decode, NamedSharding(plan.mesh, PartitionSpec()))
    divided = NamedSharding(plan.mesh, PartitionSpec(plan.mesh.axis_names))
    return lambda *rows: compiled(everywhere, *jax.device_put(rows, divided))


@functools.lru_cache(maxsize=64)
def _compiled(kernel: Kernel, plan: Settled, *, summed: bool) -> Callable:
    """Function of a decoder and a chunk of rows; `summed` also takes which rows count, and adds them up on each device."""

    def every(decode: Partial, *rows: Any) -> Any:
        one = functools.partial(kernel, at_once=plan.passes)
        return jax.vmap(one, in_axes=(None,) + (0,) * len(rows))(decode, *rows)

    def total(decode: Partial, *rows: Any) -> Any:
        *rest, counts = rows
        found = every(decode, *rest)
        kept = jnp.where(counts.reshape(-1, *(1,) * (found.ndim - 1)), found, jnp.zeros((1,) * found.ndim, found.dtype))
        return kept.sum(axis=0, keepdims=True)

    local = total if summed else every
    along = None if plan.mesh is None else PartitionSpec(plan.mesh.axis_names)

    def on_devices(decode: Partial, *rows: Any) -> Any:
        specs = (PartitionSpec(),) + (along,) * len(rows)
        return jax.shard_map(local, mesh=plan.mesh, in_specs=specs, out_specs=along, check_vma=False)(decode, *rows)

    return jax.jit(local if plan.mesh is None else on_devices, compiler_options=dict(plan.options))
