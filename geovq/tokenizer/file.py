"""A tokenizer as one file: codes, metrics, assigner and options with a checksum, and the decoder's parameters if wanted."""

import dataclasses
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner, Codebook
from geovq.assignment.clusters import ImageClusters
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.stencils import TokenStencils
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import as_partial
from geovq.geometry.arrays import check_fields
from geovq.geometry.placed_codes import CodeField
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.bits import digest
from geovq.validation import InputError, as_sizes, check_tokens, refusing

_KIND = "geovq.tokenizer"
_VERSION = 5
"""Files of version 4 have mean metrics of every position, and so images of one size; they are read."""

_ASSIGNERS: dict[str, type[Assigner]] = {
    kind.__name__: kind for kind in (Nearest, Whitened, Local, Geodesic, Amortised, Joint, Greedy)
}
_STATISTICS: dict[str, type] = {"field": CodeField, "clusters": ImageClusters, "stencils": TokenStencils}
"""Fields of assigners that hold named tuples of arrays and numbers."""


class Source(NamedTuple):
    """The autoencoder that a tokenizer was fitted to."""

    path: str
    """Where its weights were."""
    sha256: str
    """Of its parameters, see `parameters_digest`."""


class Stored(NamedTuple):
    """What a file holds."""

    codebook: Codebook
    assigner: Assigner
    image_shape: tuple[int, ...]
    fingerprint: dict[str, np.ndarray]
    """What the VAE makes of the first code, by which it is known again."""
    decode: Callable
    """The decoder, with the file's parameters where it has some."""


def save_tokenizer(
    path: str | os.PathLike,
    codebook: Codebook,
    assigner: Assigner,
    image_shape: tuple[int, ...],
    fingerprint: dict[str, np.ndarray],
    decode: Callable | None,
    source: Source | None = None,
) -> str:
    """Writes the file.

    Args:
        path: The `.npz`; replaced only when the new one is whole.
        codebook: Codes and metrics.
        assigner: One of this library's.
        image_shape: (H, W, C).
        fingerprint: What the VAE makes of some codes, by which it is known again.
        decode: The decoder whose parameters are saved too, in their own dtypes, or None. Random keys that a module owns are not
            saved: its evaluation does not use them.
        source: The autoencoder, if it is to be named.

    Returns:
        SHA-256 of the content.

    Raises:
        InputError: The file cannot be written, the decoder carries no parameters, or the assigner is another.
    """
    arrays = {"codes": codebook.codes, "position_metrics": codebook.position_metrics}
    arrays |= {f"probe.{name}": value for name, value in fingerprint.items()}
    options = _options(assigner, arrays)
    if decode is not None:
        arrays |= {f"decoder.{i}": np.asarray(leaf) for i, leaf in enumerate(_parameters(decode))}
    meta = {"kind": _KIND, "version": _VERSION, "assigner": options, "image_shape": image_shape}
    if source is not None:
        meta["autoencoder"] = source._asdict()
    return save_arrays(path, arrays, meta)


def load_tokenizer(path: str | os.PathLike, decode: Callable) -> Stored:
    """Reads what `save_tokenizer` wrote, verified; nothing is unpickled or executed.

    Args:
        path: The file.
        decode: The decoder; where the file has parameters, they take the place of its own, in the dtypes of its own. Its random
            keys stay.

    Returns:
        What it holds.

    Raises:
        InputError: The file is missing, damaged, or not a tokenizer, or its parameters are of another decoder.
    """
    arrays, meta = _load(path)
    with _reading(path):
        stored = _under(arrays, "decoder")
        if stored:
            decode = _with_parameters(path, decode, [stored[str(i)] for i in range(len(stored))])
        codebook = check_fields(Codebook(arrays["codes"], arrays["position_metrics"]))
        assigner = _assigner(path, meta["assigner"], arrays)
        if isinstance(assigner, Geodesic) and assigner.field is not None:
            check_tokens(assigner.field.labels, codebook.num_codes + 1, "labels")  # the last is no code
        return Stored(codebook, assigner, as_sizes("image_shape", meta["image_shape"]), _under(arrays, "probe"), decode)


class Summary(NamedTuple):
    """What a file says without its autoencoder."""

    sha256: str
    """Of the content."""
    num_quantizers: int
    num_codes: int
    channels: int
    """Numbers d of a code."""
    assigner: str
    image_shape: tuple[int, ...]
    """(H, W, C) of the images that it was fitted to."""
    autoencoder: Source | None
    """None where the file does not name it."""


def summarize(path: str | os.PathLike) -> Summary:
    """Reads what a file says without its autoencoder; errors as `load_tokenizer`."""
    arrays, meta = _load(path)
    with _reading(path):
        source = meta.get("autoencoder")
        codebook = check_fields(Codebook(arrays["codes"], arrays["position_metrics"]))
        return Summary(
            digest(arrays, meta),
            codebook.num_quantizers,
            codebook.num_codes,
            codebook.codes.shape[-1],
            describe_assigner(_assigner(path, meta["assigner"], arrays)),
            as_sizes("image_shape", meta["image_shape"]),
            None if source is None else Source(str(source["path"]), str(source["sha256"])),
        )


def _reading(path: str | os.PathLike) -> AbstractContextManager[None]:
    """What a file says may be anything."""
    return refusing(str(path), "a tokenizer", "restore it from a copy, or fit and save again")


def _load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of a tokenizer's file."""
    arrays, meta = load_arrays(path)
    if meta.get("kind") != _KIND or meta.get("version") not in (4, _VERSION):
        raise InputError(
            f"{path}: expected a tokenizer of version {_VERSION}, found {meta.get('kind') or 'a file of other arrays'} "
            f"{meta.get('version', '')}; pass what Tokenizer.save of this version wrote, or fit and save again."
        )
    return arrays, meta


def parameters_digest(encode: Callable, decode: Callable) -> str:
    """SHA-256 of the parameters that both functions carry, by which an autoencoder is known whatever files it is in."""
    leaves = [*_parameters(as_partial(encode, "encode")), *_parameters(as_partial(decode, "decode"))]
    return digest({f"{i:05}": np.asarray(leaf) for i, leaf in enumerate(leaves)})


def describe_assigner(assigner: Assigner) -> str:
    """Name of an assigner with the options that are not its defaults, without statistics."""
    if not dataclasses.is_dataclass(assigner):
        return type(assigner).__name__
    options = []
    for field in dataclasses.fields(assigner):
        value = getattr(assigner, field.name)
        if field.name not in _STATISTICS and (isinstance(value, Assigner) or value != field.default):
            text = describe_assigner(value) if isinstance(value, Assigner) else repr(value)
            options.append(f"{field.name}={text}")
    return f"{type(assigner).__name__}({', '.join(options)})"


def _options(assigner: Assigner, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Name and options of an assigner as JSON; its statistics are added to the arrays."""
    name = type(assigner).__name__
    if _ASSIGNERS.get(name) is not type(assigner):
        raise InputError(
            f"assigner: expected one of {', '.join(_ASSIGNERS)}, which files can hold, found {name}; save with "
            "Tokenizer.replace(assigner=...) and replace it after loading."
        )
    found: dict[str, Any] = {"name": name}
    for field in dataclasses.fields(assigner):  # type: ignore[arg-type]  # every assigner is a dataclass
        value = getattr(assigner, field.name)
        if isinstance(value, Assigner):
            found[field.name] = _options(value, arrays)
        elif field.name in _STATISTICS:
            if value is not None:
                arrays |= {f"{field.name}.{part}": np.asarray(array) for part, array in value._asdict().items()}
        elif callable(value):
            raise InputError(
                f"assigner: expected options that a file can hold, found a function as {field.name}; save the tokenizer with "
                f"Tokenizer.replace(assigner={name}()) and replace it after loading."
            )
        else:
            found[field.name] = value.item() if isinstance(value, np.generic) else value
    return found


def _assigner(path: str | os.PathLike, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> Assigner:
    """The assigner that `_options` described."""
    kind = _ASSIGNERS.get(options.get("name", ""))
    if kind is None:
        raise InputError(
            f"{path}: expected one of the assigners {', '.join(_ASSIGNERS)}, found {options.get('name')!r}."
        )
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(options.keys() - known - {"name"}):
        raise InputError(f"{path}: expected options of {kind.__name__}, found {', '.join(unknown)} of another version.")
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in _STATISTICS:
            parts = _under(arrays, field.name)
            statistics = {part: value if value.ndim else value.item() for part, value in parts.items()}
            found[field.name] = check_fields(_STATISTICS[field.name](**statistics)) if parts else None
        elif field.name in options:  # an older file lacks a younger option, which has its default then
            value = options[field.name]
            if isinstance(value, dict):
                value = _assigner(path, value, arrays)
            found[field.name] = tuple(value) if isinstance(value, list) else value
    if kind is Joint and "radius" not in options:  # of version 4, in which there were no bands
        found["radius"] = None
    return kind(**found)


def _under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{prefix}."): value for name, value in arrays.items() if name.startswith(f"{prefix}.")}


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _parameters(decode: Callable) -> list[Any]:
    leaves = [leaf for leaf in jax.tree.leaves(decode) if not _is_key(leaf)] if isinstance(decode, Partial) else []
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
    values = iter(stored)
    return jax.tree.map(lambda leaf: leaf if _is_key(leaf) else _of_kind(leaf, next(values)), decode)


def _of_kind(own: Any, value: np.ndarray) -> Any:
    """A stored parameter in the dtype of a decoder's own, and a number where that is one."""
    if isinstance(own, jax.Array):
        return jnp.asarray(value, own.dtype)
    return value.astype(own.dtype)[()] if isinstance(own, np.ndarray | np.generic) else type(own)(value.item())
