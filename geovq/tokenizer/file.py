"""A tokenizer as one file: codes, statistics and options with a checksum, and the decoder's parameters where they are wanted."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from geovq.assignment.clusters import Kinds
from geovq.assignment.dispatch import Codebook
from geovq.geometry.placed_codes import CodeField
from geovq.storage import load_arrays, save_arrays
from geovq.validation import InputError

_KIND = "geovq.tokenizer"
_VERSION = 3


def save_tokenizer(
    path: str | os.PathLike,
    codebook: Codebook,
    probe: dict[str, np.ndarray],
    options: dict[str, Any],
    decode: Callable | None,
) -> str:
    """Writes the file.

    Args:
        path: The `.npz`; replaced only when the new one is whole.
        codebook: Codes and statistics.
        probe: What the VAE makes of some codes, by which it is known again.
        options: JSON-serialisable.
        decode: The decoder whose parameters are saved too, or None.

    Returns:
        SHA-256 of the content.

    Raises:
        InputError: The file cannot be written, or the decoder carries no parameters.
    """
    arrays = {"codes": codebook.codes, "position_metrics": codebook.position_metrics}
    arrays |= {f"probe.{name}": value for name, value in probe.items()}
    if codebook.field is not None:
        arrays |= {f"field.{name}": np.asarray(value) for name, value in codebook.field._asdict().items()}
    if codebook.kinds is not None:
        arrays |= {f"kinds.{name}": value for name, value in codebook.kinds._asdict().items()}
    if decode is not None:
        arrays |= {f"decoder.{i}": _portable(leaf) for i, leaf in enumerate(_parameters(decode))}
    return save_arrays(path, arrays, {"kind": _KIND, "version": _VERSION, **options})


def load_tokenizer(
    path: str | os.PathLike, decode: Callable
) -> tuple[Codebook, dict[str, np.ndarray], dict[str, Any], Callable]:
    """Reads what `save_tokenizer` wrote, verified; nothing is unpickled or executed.

    Args:
        path: The file.
        decode: The decoder; where the file has parameters, they take the place of its own.

    Returns:
        The codebook, the probe, the options, and the decoder.

    Raises:
        InputError: The file is missing, damaged, or not a tokenizer, or its parameters are of another decoder.
    """
    arrays, meta = load_arrays(path)
    if meta.get("kind") != _KIND or meta.get("version") != _VERSION:
        raise InputError(
            f"{path}: expected a tokenizer of version {_VERSION}, found {meta.get('kind') or 'a file of other arrays'} "
            f"{meta.get('version', '')}; pass what Tokenizer.save of this version wrote, or fit and save again."
        )
    parts = _under(arrays, "field")
    num_neighbours = int(parts.pop("num_neighbours", 0))
    field = CodeField(**parts, num_neighbours=num_neighbours) if parts else None
    kinds = _under(arrays, "kinds")
    stored = _under(arrays, "decoder")
    if stored:
        decode = _with_parameters(path, decode, [stored[str(i)] for i in range(len(stored))])
    codebook = Codebook(arrays["codes"], arrays["position_metrics"], field, Kinds(**kinds) if kinds else None)
    return codebook, _under(arrays, "probe"), meta, decode


def _under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{prefix}."): value for name, value in arrays.items() if name.startswith(f"{prefix}.")}


def _portable(leaf: Any) -> np.ndarray:
    """A parameter in a type that NumPy's files know: those of bfloat16 fit into float32 without loss."""
    return np.asarray(leaf, np.float32 if jnp.result_type(leaf) == jnp.bfloat16 else None)


def _parameters(decode: Callable) -> list[Any]:
    leaves = jax.tree.leaves(decode) if isinstance(decode, Partial) else []
    if not leaves:
        raise InputError(
            "decode: expected a function that carries its parameters, found one without; make it by geovq.from_nnx or "
            "geovq.from_linen, or as a jax.tree_util.Partial of a function and its parameters, or save with decoder=False."
        )
    return leaves


def _with_parameters(path: str | os.PathLike, decode: Callable, stored: list[np.ndarray]) -> Callable:
    """The decoder with the stored parameters in place of its own, which have to be of the same shapes."""
    own = _parameters(decode)
    shapes, wanted = [np.shape(leaf) for leaf in own], [np.shape(leaf) for leaf in stored]
    if shapes != wanted:
        at = next((i for i, (a, b) in enumerate(zip(shapes, wanted, strict=False)) if a != b), None)
        differing = f"{len(shapes)} arrays" if at is None else f"shape {shapes[at]} at array {at}"
        there = f"{len(wanted)}" if at is None else f"{wanted[at]}"
        raise InputError(
            f"{path}: expected a decoder like the one whose parameters it holds, found {differing} instead of {there}; make the "
            "same network, with any parameters."
        )
    leaves = [jnp.asarray(value, jnp.result_type(leaf)) for value, leaf in zip(stored, own, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(decode), leaves)
