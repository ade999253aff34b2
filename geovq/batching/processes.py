"""Several processes, on one machine or many, by JAX's own engine: all run the same program, and share its rows.

After `join` every process holds all inputs and gets all results, but computes only its share: chunks of rows that are gathered
afterwards, and its devices' part of a training batch. Files are written by the first process while the others wait.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from geovq.storage.files import take_turns
from geovq.validation import InputError

Tree = TypeVar("Tree")

_ADDRESS, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""Environment variables that say of which processes this is one, where no cluster does."""

_HEARTBEAT = 30
"""Seconds without a sign of life after which a process counts as dead, and the others end."""

_WAITS = 120
"""Seconds that a process waits for the others at the start."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Of the rows that the processes compute."""

    index: int = 0
    """Of this process."""
    count: int = 1
    """Processes."""


WHOLE = Part()
"""Everything."""

_joined = False
_part = WHOLE


def join() -> Part:
    """Makes this process one of several that run the same program, and lets all its devices work.

    JAX finds the others on Slurm, Open MPI, Kubernetes and Cloud TPUs. Elsewhere the environment says where they meet
    (JAX_COORDINATOR_ADDRESS, a host and a port of process 0), how many they are (JAX_NUM_PROCESSES) and which this is
    (JAX_PROCESS_ID, from 0 on); without these this process is alone. It comes before anything else that uses JAX.

    Returns:
        Which of how many this is.

    Raises:
        InputError: Variables that are missing or no numbers, or others that do not come.

    Source: https://docs.jax.dev/en/latest/multi_process.html
    """
    global _joined, _part
    places = _from_environment()
    try:
        jax.distributed.initialize(
            **places,
            initialization_timeout=_WAITS,
            heartbeat_timeout_seconds=_HEARTBEAT,
            shutdown_timeout_seconds=_HEARTBEAT,
        )
    except ValueError as error:  # what JAX says where it finds no cluster
        if places:
            raise InputError(f"--distributed: expected processes that JAX can join, found: {error}") from error
    except RuntimeError as error:
        found = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"--distributed: expected all processes within {_WAITS} s, found: {found}; start every process with the same "
            f"{_ADDRESS} and {_COUNT}, and each with its own {_INDEX}."
        ) from error
    _joined, _part = True, Part(jax.process_index(), jax.process_count())
    take_turns(_turn)
    if _part.index:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # what all say, the first says
    print(f"distributed: {_part.count} processes, {jax.device_count()} devices", flush=True)
    return _part


def _from_environment() -> dict[str, Any]:
    """Arguments of jax.distributed.initialize; none where the environment says nothing."""
    given = {name: os.environ[name] for name in (_ADDRESS, _COUNT, _INDEX) if os.environ.get(name)}
    if not given.keys() & {_COUNT, _INDEX}:
        return {}
    try:
        count, index = int(given[_COUNT]), int(given[_INDEX])
        if not 0 <= index < count:
            raise ValueError(f"process {index} of {count}")
        return {
            "coordinator_address": given[_ADDRESS],
            "num_processes": count,
            "process_id": index,
            "cluster_detection_method": "deactivate",
        }
    except (KeyError, ValueError) as error:
        raise InputError(
            f"--distributed: expected {_ADDRESS}, {_COUNT} and {_INDEX} from 0 to one less, found {given}; set all three, or "
            "none on a cluster that JAX knows."
        ) from error


def part() -> Part:
    """What this process computes of rows that all processes compute together."""
    return _part


@contextlib.contextmanager
def on_its_own() -> Iterator[Part]:
    """Within, a process works on rows that only it has: nothing is divided, and no process waits for another.

    Yields:
        Which of how many this is, by which the work is divided.
    """
    global _part
    before, _part = _part, WHOLE
    try:
        yield before
    finally:
        _part = before


def mesh() -> Mesh | None:
    """All devices of all processes; None before `join`, and for a single device."""
    return Mesh(np.array(jax.devices()), ("data",)) if _joined and jax.device_count() > 1 else None


def own_mesh() -> Mesh | None:
    """All devices of this process; None before `join`, and for a single device."""
    return Mesh(np.array(jax.local_devices()), ("rows",)) if _joined and jax.local_device_count() > 1 else None


def on_own_devices(tree: Tree) -> Tree:
    """A tree of arrays, the same in all processes, on all devices of this one."""
    local = own_mesh()
    return jax.device_put(
        jax.tree.map(np.asarray, tree), None if local is None else NamedSharding(local, PartitionSpec())
    )


def on_all_devices(tree: Tree, devices: Mesh | None) -> Tree:
    """A tree of arrays, the same in all processes, on every device of `mesh()`; as it is where there is none."""
    if devices is None:
        return tree
    everywhere = NamedSharding(devices, PartitionSpec())

    def place(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        return jax.make_array_from_process_local_data(everywhere, np.asarray(leaf))

    return jax.tree.map(place, tree)


def rows_of(indices: np.ndarray, devices: Mesh | None) -> np.ndarray:
    """Of the rows of a batch (n,) those of this process, whose devices take n / `devices.size` each."""
    if devices is None:
        return indices
    mine = [number for number, device in enumerate(devices.devices) if device.process_index == jax.process_index()]
    return indices.reshape(devices.size, -1)[mine].reshape(-1)


def batch_on_devices(rows: Tree, devices: Mesh | None) -> Tree:
    """A batch on all devices of `mesh()`, of which each process gives the rows that `rows_of` names."""
    if devices is None:
        return rows
    divided = NamedSharding(devices, PartitionSpec(devices.axis_names))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(divided, np.asarray(leaf)), rows)


def gather(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes, with a leading axis of the processes; every process gives as many."""
    if _part.count == 1:
        return rows[None]
    from jax.experimental import multihost_utils  # late: few programs need it

    bits = np.ascontiguousarray(rows).view(np.uint8).reshape(-1)  # float64 would become float32 on a device
    found = multihost_utils.process_allgather(bits, tiled=False)
    return np.asarray(found).reshape(_part.count, -1).view(rows.dtype).reshape(_part.count, *rows.shape)


def any_of(flag: bool) -> bool:
    """Whether it is true in some process."""
    return flag if _part.count == 1 else bool(gather(np.array([flag])).any())


@contextlib.contextmanager
def _turn() -> Iterator[bool]:
    """Files change within, and only in the first process: others neither look at them too early nor too late."""
    if _part.count == 1:  # alone, or on its own
        yield True
        return
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("before files change")
    try:
        with on_its_own() as part:  # what writes within waits for nobody
            yield part.index == 0
    finally:
        multihost_utils.sync_global_devices("after files have changed")
