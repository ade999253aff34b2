"""Checkpoints that can be trusted: the one place that knows Orbax.

Orbax never leaves a half-written step behind, but it restores a flipped bit without a word. So every step carries the SHA-256
of its arrays, which is verified on restoring; a damaged step is passed over for the one before it. Arrays are saved from the
host and restored to the host, so a checkpoint written on a GPU restores on a CPU.
"""

import os
import pathlib
import shutil
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from geovq.storage.bits import digest, dtype_name, from_bits, to_bits
from geovq.validation import InputError


class Restored(NamedTuple):
    """A checkpoint that was read and verified."""

    step: int
    state: PyTree
    sha256: str
    """Digest of all arrays of the checkpoint, also of those that were not asked for."""


class Checkpoints:
    """The checkpoints of one training run, in one folder; the last two are kept."""

    def __init__(self, folder: str | os.PathLike):
        """Opens or makes the folder.

        Args:
            folder: Where the steps are, one subfolder each.
        """
        self.folder = pathlib.Path(folder).resolve()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, create=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        """The checkpoints themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes Orbax."""
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps that are present, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree) -> str:
        """Saves a step; when this returns, it is on the disk. A step of that number is replaced.

        Args:
            step: Its number.
            state: Any tree of arrays, of any dtype; of random keys the data are saved.

        Returns:
            SHA-256 of the arrays.

        Raises:
            InputError: The disk is full or cannot be written; the steps before it stay as they were.
        """
        arrays = _flatten(state)
        sha = digest(arrays)
        index = {"sha256": sha, "arrays": {name: [list(a.shape), dtype_name(a)] for name, a in arrays.items()}}
        bits = {name: to_bits(array) for name, array in arrays.items()}
        self._check_space(step, sum(array.nbytes for array in arrays.values()))
        try:
            if step in self._manager.all_steps():
                self._manager.delete(step)
            self._manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(bits), index=ocp.args.JsonSave(index)),
                force=True,
            )
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise self._not_saved(step, _first_line(error)) from error
        return sha

    def _check_space(self, step: int, size: int) -> None:
        """Refuses ahead of Orbax, whose own threads would each print a traceback."""
        free = shutil.disk_usage(self.folder).free
        if free < 2 * size:
            raise self._not_saved(step, f"{free:,} bytes free for {size:,} bytes of arrays and as much to spare")

    def _not_saved(self, step: int, found: str) -> InputError:
        return InputError(
            f"{self.folder}: expected to write checkpoint {step}, found: {found}; free space on the disk and run the same "
            f"command again: it goes on from step {max(self.steps(), default=0)}."
        )

    def restore(self, like: PyTree) -> Restored | None:
        """The newest step that is whole, with a warning for every newer one that is not.

        Args:
            like: A tree of arrays or of shapes (`jax.ShapeDtypeStruct`) whose names, shapes and dtypes are wanted; the checkpoint
                may hold more. Random keys have to be arrays, whose kind those of the checkpoint get.

        Returns:
            The step, or None where there is none at all.

        Raises:
            InputError: Every step is damaged, or the arrays are not those of `like`.
        """
        found = self._newest()
        if found is None:
            return None
        step, arrays, sha = found
        return Restored(step, _unflatten(like, arrays, self.folder), sha)

    def restore_part(self, name: str) -> dict[str, np.ndarray] | None:
        """One entry of the saved dictionary, as arrays by the path to them; of the same step and errors as `restore`."""
        found = self._newest()
        if found is None:
            return None
        return {path.removeprefix(f"{name}."): a for path, a in found[1].items() if path.startswith(f"{name}.")}

    def _newest(self) -> tuple[int, dict[str, np.ndarray], str] | None:
        """Number, arrays and digest of the newest step that is whole."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                return step, *self._read(step)
            except Exception as error:  # a damaged file fails anywhere below Orbax, in any way
                warnings.warn(
                    f"checkpoint {step} in {self.folder} is damaged ({_first_line(error)}); trying the one before it.",
                    RuntimeWarning,
                    stacklevel=3,
                )
        if steps:
            raise InputError(
                f"{self.folder}: expected a whole checkpoint, found {len(steps)} damaged ones (steps "
                f"{', '.join(map(str, steps))}); restore the folder from a copy, or move it away to train anew."
            )
        return None

    def _read(self, step: int) -> tuple[dict[str, np.ndarray], str]:
        index = self._manager.restore(step, args=ocp.args.Composite(index=ocp.args.JsonRestore()))["index"]
        wanted = {name: np.zeros(shape, dtype) for name, (shape, dtype) in index["arrays"].items()}
        targets = {name: to_bits(array) for name, array in wanted.items()}
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(targets)))
        arrays = {
            name: from_bits(np.asarray(array), dtype_name(wanted[name])) for name, array in restored["state"].items()
        }
        found = digest(arrays)
        if found != index["sha256"]:
            raise ValueError(f"expected sha256 {index['sha256'][:12]}…, found {found[:12]}…")
        return arrays, found


def _flatten(tree: PyTree) -> dict[str, np.ndarray]:
    """Arrays by the path to them, on the host; of random keys their data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for path, leaf in leaves
    }


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _unflatten(like: PyTree, arrays: dict[str, np.ndarray], folder: pathlib.Path) -> PyTree:
    """The tree of `like`'s structure with the arrays of those paths."""
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    return jax.tree_util.tree_unflatten(
        structure,
        [
            _of_kind(leaf, jax.tree_util.keystr(path, simple=True, separator="."), arrays, folder)
            for path, leaf in paths
        ],
    )


def _of_kind(like: Any, name: str, arrays: dict[str, np.ndarray], folder: pathlib.Path) -> Any:
    """The array of a name, which has to be of the shape and dtype of `like`; a random key where that is one."""
    if _is_key(like):
        data = _of_kind(jax.random.key_data(like), name, arrays, folder)
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(like))
    found, wanted = arrays.get(name), like if hasattr(like, "shape") else np.asarray(like)
    if found is None or (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        what = "nothing" if found is None else f"{found.dtype} {found.shape}"
        raise InputError(
            f"{folder}: expected {name} as {wanted.dtype} {wanted.shape}, found {what}; "
            "the checkpoint is of another model: use the options it was trained with, or another folder."
        )
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def tree_digest(tree: PyTree) -> str:
    """SHA-256 of a tree of arrays and the paths to them."""
    return digest(_flatten(tree))
