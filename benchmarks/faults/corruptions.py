"""Damaged files of every kind: read as before, or refused; and damaged runs, which the same command mends or refuses."""

import dataclasses
import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from benchmarks.faults.jobs import Job, Place
from benchmarks.faults.readers import FOLDERS, READERS, Reader
from benchmarks.faults.resuming import resume
from benchmarks.faults.spoiling import refused
from benchmarks.faults.trials import Trial
from geovq.storage.records import read_record
from train.run.options_file import lost_config

CONFIG = "config.json"

Damage = Callable[[np.random.Generator, bytes], bytes]


def _flip(rng: np.random.Generator, data: bytes) -> bytes:
    found = bytearray(data)
    found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _truncate(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _zero(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, len(data))
    return data[:start] + bytes(stop - start) + data[stop:]


def _exchange(rng: np.random.Generator, data: bytes) -> bytes:
    size = max(1, int(rng.integers(len(data) // 2 + 1)))
    start = int(rng.integers(len(data) - size + 1))
    other = int(rng.integers(len(data) - size + 1))
    found = bytearray(data)
    found[start : start + size], found[other : other + size] = data[other : other + size], data[start : start + size]
    return bytes(found)


def _scramble(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, len(data))
    return data[:start] + rng.bytes(stop - start) + data[stop:]


def _span(rng: np.random.Generator, length: int) -> tuple[int, int]:
    """A range of at least one byte, often short."""
    start = int(rng.integers(length))
    return start, min(length, start + 1 + int(rng.integers(1 << int(rng.integers(1, 13)))))


DAMAGES: dict[str, Damage] = {
    "a flipped bit": _flip,
    "a cut-off end": _truncate,
    "a range of zeros": _zero,
    "exchanged ranges": _exchange,
    "random bytes": _scramble,
}

AUTHOR = "spoiled by its author"
"""In most of these cases the file carries the right checksum of its other content."""


def corrupt_files(name: str, seeds: range) -> list[Trial]:
    """Damages a good file of a kind once for each seed, and reads it.

    Args:
        name: Of the kind.
        seeds: Of the damages, of which each way has its turn.
    """
    reader = {**READERS, **FOLDERS}[name]
    with tempfile.TemporaryDirectory() as folder:
        path = reader.write(pathlib.Path(folder))
        good, all_files = bytes_of(path), bytes_of(pathlib.Path(folder))
        expected, trials = fingerprint(reader.read(path)), []
        for seed in seeds:
            restore(pathlib.Path(folder), all_files)
            trials.append(_corrupt(name, reader, path, good, expected, seed))
        return trials


def _corrupt(
    name: str, reader: Reader, path: pathlib.Path, good: Mapping[pathlib.Path, bytes], expected: str, seed: int
) -> Trial:
    rng, ways = np.random.default_rng(seed), [*DAMAGES, AUTHOR]
    way = ways[seed % len(ways)]
    sealed = reader.sealed
    if way == AUTHOR:
        sealed = sealed and not reader.spoil(rng, path)
        hit = path
    else:
        hit = sorted(good)[int(rng.integers(len(good)))]
        hit.write_bytes(DAMAGES[way](rng, good[hit]))
    what = f"{way} in {hit.name}, seed {seed}"
    try:
        found: list[Any] = []
        said = refused(lambda: found.append(reader.read(path)))
    except Exception as error:  # whatever it is, it counts
        return Trial(name, what, "anything else", f"{type(error).__name__}: {error}")
    if said is not None:
        return Trial(name, what, "refused", said)
    if fingerprint(found[0]) == expected:
        return Trial(name, what, "same")
    if not sealed:
        return Trial(name, what, "other content")
    return Trial(name, what, "anything else", "read as other content")


def bytes_of(path: pathlib.Path) -> dict[pathlib.Path, bytes]:
    """Contents of a file, or of all files of a folder that are not empty."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {each: each.read_bytes() for each in files if each.stat().st_size}


def restore(folder: pathlib.Path, good: Mapping[pathlib.Path, bytes]) -> None:
    """Makes a folder hold these files and no others."""
    for each in [each for each in folder.rglob("*") if each.is_file() and each not in good]:
        each.unlink()
    for each, content in good.items():
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_bytes(content)


def fingerprint(value: Any) -> str:
    """SHA-256 of whatever a reader returns: arrays to the bit, other values as they are shown."""
    sha = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, np.ndarray | np.generic | jax.Array):
            array = np.asarray(part)
            sha.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
        elif isinstance(part, nnx.Module):
            add(jax.tree.leaves(nnx.state(part)))
        elif isinstance(part, jax.tree_util.Partial):
            add(jax.tree.leaves(part))
        elif isinstance(part, Mapping):
            add([[key, part[key]] for key in sorted(part, key=str)])
        elif isinstance(part, list | tuple):
            sha.update(f"{type(part).__name__} {len(part)}".encode())
            for each in part:
                add(each)
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            add({field.name: getattr(part, field.name) for field in dataclasses.fields(part)})
        else:
            sha.update(f"{type(part).__name__} {part!r}".encode())

    add(value)
    return sha.hexdigest()


def corrupt_run(job: Job, place: Place, seed: int) -> Trial:
    """Damages one file in the folder of a complete job, and runs the same command once more.

    Args:
        job: The job.
        place: Of all jobs.
        seed: Of the file and its damage.

    Returns:
        same: what is missing or damaged was made again, or is not needed; the damaged file itself may stay where nothing reads
        it, as the log of a training that has ended.
    """
    rng = np.random.default_rng([seed, 1])
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        run = pathlib.Path(folder) / "run"
        shutil.copytree(place.whole(job), run)
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
        hit, ways = files[int(rng.integers(len(files)))], [*DAMAGES, "removed", "exchanged with another file"]
        way, name = ways[seed % len(ways)], hit.relative_to(run).as_posix()
        damaged = [name, f"{name}.damaged"]
        if way == "removed":
            hit.unlink()
        elif way == "exchanged with another file":
            other = files[int(rng.integers(len(files)))]
            content = hit.read_bytes()
            hit.write_bytes(other.read_bytes())
            other.write_bytes(content)
            way = f"exchanged with {other.relative_to(run)}"
            damaged += [other.relative_to(run).as_posix(), f"{other.relative_to(run)}.damaged"]
        else:
            hit.write_bytes(DAMAGES[way](rng, hit.read_bytes()))
        found = resume(job, place, run, f"{name}: {way}, seed {seed}", _unread(damaged))
        if found.outcome == "same" and CONFIG in damaged and _used_options(run) != _used_options(place.whole(job)):
            return found._replace(
                outcome="anything else", said=f"{CONFIG}: other options of the stages, or still damaged"
            )
        return found


def _unread(names: list[str]) -> tuple[str, ...]:
    """Returns the damaged files that may differ: logs of trainings that have ended, what is set aside, and config.json.

    The options of stages that have not begun are lost with config.json; `_used_options` compares the others.
    """
    return tuple(name for name in names if name.endswith((".damaged", "metrics.jsonl")) or name == CONFIG)


def _used_options(run: pathlib.Path) -> dict[str, Any]:
    """Returns what config.json says of the options that stages were made with."""
    records = [read_record(path) for path in run.glob("*/stage.json")]
    sections = {name for record in records for name in record["options"]}
    stored = {} if lost_config(run) else read_record(run / CONFIG)
    return {name: stored.get(name) for name in sections}
