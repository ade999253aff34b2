"""Plans: how much at once, in how much memory, how it is compiled, and on which devices.

Small chunks win on a CPU, where they stay in the cache, and large ones on an accelerator, so the default depends on the kind of
machine and on its memory, and on nothing else: no stopwatch decides, and the same call gives the same bits.
"""

import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from geovq.batching.processes import own_mesh
from geovq.validation import InputError, shown

Options = tuple[tuple[str, str], ...]

_GIB = 1 << 30

_SHARE, _MOST = 8, 2 * _GIB
"""On a CPU an eighth of the machine's memory, and 2 GiB at most."""


class Plan(NamedTuple):
    """How much at once, in how much memory, how it is compiled, and where."""

    passes: int | None = None
    """Passes through the decoder that a device makes at once at most, at least 1: tangents of exact metrics, probes of sketched
    ones, decoded images. None takes 512 on a CPU and 16,384 on an accelerator. A kernel takes no fewer than it needs for one
    token."""
    memory: int | None = None
    """Bytes that these passes take at most on a device, by an estimate from the decoder's shapes: large images leave room for
    fewer passes, and what does not fit at all is refused. Inputs and results on the host do not count. None takes 2 GiB on a CPU,
    or an eighth of the machine's memory where that is less, and half of an accelerator's memory."""
    options: Options | None = None
    """Options of XLA, name and value. None takes `fast_options`."""
    mesh: Mesh | None = None
    """Devices of this process among which the rows are divided, along all axes; None takes the default device, or all after
    `geovq.batching.processes.join`."""


DEFAULT_PLAN = Plan()
"""Defaults for the kind of machine, on the default device."""


class Settled(NamedTuple):
    """A plan with all its defaults filled in."""

    passes: int
    memory: int
    options: Options
    mesh: Mesh | None


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


@functools.cache
def default_memory() -> int:
    """Bytes that a plan takes on a device where it does not say: a documented share of what the machine has."""
    if jax.default_backend() == "cpu":
        return min(_MOST, _machine_memory() // _SHARE)
    stats = jax.local_devices()[0].memory_stats() or {}
    return max(_GIB, stats.get("bytes_limit", 2 * _MOST) // 2)


def _machine_memory() -> int:
    """Bytes of main memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return _SHARE * _MOST


def settle(plan: Plan = DEFAULT_PLAN) -> Settled:
    """The plan with its defaults filled in.

    Args:
        plan: Fields that are not None are kept.

    Raises:
        InputError: Not a Plan, fewer than one pass, or memory that is no positive whole number of bytes.
    """
    if not isinstance(plan, Plan):
        raise InputError(
            f"plan: expected a geovq.Plan, found {shown(plan)}; pass Plan(passes=...) or Plan(memory=...)."
        )
    if plan.passes is not None and not _is_positive(plan.passes):
        raise InputError(f"plan: expected at least 1 pass at once, found {shown(plan.passes)}; pass a whole number.")
    if plan.memory is not None and not _is_positive(plan.memory):
        raise InputError(
            f"plan: expected memory as a whole number of bytes, found {shown(plan.memory)}; pass for example "
            "Plan(memory=2 << 30) for 2 GiB."
        )
    passes = 512 if jax.default_backend() == "cpu" else 16384
    return Settled(
        passes if plan.passes is None else int(plan.passes),
        default_memory() if plan.memory is None else int(plan.memory),
        fast_options() if plan.options is None else plan.options,
        own_mesh() if plan.mesh is None else plan.mesh,
    )


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)
