"""Lengths of edges by decoding points along them: the truth for the lengths from cached metrics.

An edge is walked straight in latent space, in equal steps, and the distances between consecutive images are added up. That
is the length of the image's curve as the steps become small, and never more than that. An edge between tokens is walked twice, in
the context and at the position of either end, as its length from cached metrics has a term for either end.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from geovq.batching.budget import passes_within, rows_of_call
from geovq.batching.chunks import Progress, map_chunks
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.decoder.adapters import Decoder, as_partial, flat
from geovq.decoder.checks import check_decoder
from geovq.metric.edge_lengths import check_edges
from geovq.validation import InputError, as_array, check_finite, check_number, check_whole

MOST_SEGMENTS = 1 << 16
"""Of a walk."""

_REMEDY = "take smaller images or fewer segments"


class Refined(NamedTuple):
    """Lengths of m edges, each from as few segments as it needs."""

    lengths: Float[np.ndarray, " m"]
    """In intensity units."""
    segments: Int[np.ndarray, " m"]
    """Steps that the length is the sum of."""
    converged: Bool[np.ndarray, " m"]
    """Whether the last doubling changed the length by less than the tolerance."""


def polyline_length(
    decode: Decoder, start: Float[Array, "..."], end: Float[Array, "..."], segments: int
) -> Float[Array, ""]:
    """Length of the polyline through the images of equally spaced points from one latent to another.

    Args:
        decode: Takes one latent to one image of any shape, in intensity units.
        start: Latent of any shape: (d,) or (h, w, d).
        end: Latent of the same shape.
        segments: Steps, at least 1; 1 gives the chord.

    Returns:
        In intensity units; in float32, rounding may add about 1e-7·‖image‖ a step.
    """
    points = jnp.linspace(start, end, segments + 1)
    return path_length(jax.vmap(functools.partial(flat, decode))(points))


def path_length(images: Float[Array, "s p"]) -> Float[Array, ""]:
    """Sum of the Euclidean distances between consecutive images."""
    return jnp.linalg.norm(jnp.diff(images, axis=0), axis=1).sum()


def polyline_lengths(
    decode: Decoder,
    latents: Float[np.ndarray, "n ... d"],
    senders: Int[np.ndarray, " m"],
    receivers: Int[np.ndarray, " m"],
    *,
    segments: int,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, " m"]:
    """`polyline_length` of m edges.

    Args:
        decode: Takes one latent (d,), or one grid (h, w, d), to one image of any shape.
        latents: Latents (n, d) of one field, or grids (n, h, w, d), whose tokens the edges join. A token is an index into
            `latents.reshape(-1, d)`; an edge is the mean of the walk in the context of one end and the walk in the other's.
        senders: One end of every edge.
        receivers: The other end.
        segments: Steps of every walk, at least 1.
        plan: How much at once: a walk takes a pass for each of its points. A mesh is not used.
        progress: Called after every chunk with the walks done: one for an edge of a field, two for one between tokens.

    Returns:
        Lengths (m,), in intensity units.

    Raises:
        InputError: Latents of another rank, NaN or infinity, edges that do not fit, fewer than one segment, or a decoder that
            gives NaN.
    """
    decode, latents, senders, receivers = _check(decode, latents, senders, receivers)
    return _lengths(decode, latents, senders, receivers, segments, plan, progress)


def refine_lengths(
    decode: Decoder,
    latents: Float[np.ndarray, "n ... d"],
    senders: Int[np.ndarray, " m"],
    receivers: Int[np.ndarray, " m"],
    *,
    tolerance: float = 0.02,
    max_segments: int = 64,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Refined:
    """`polyline_lengths` with as many segments as an edge needs: 1, 2, 4, … until a doubling changes its length little.

    Doubling keeps the points that there are, so no length falls but by rounding. The error of a smooth walk falls by four with
    each doubling: it is about a third of the last change.

    Args:
        decode: As for `polyline_lengths`.
        latents: As for `polyline_lengths`.
        senders: One end of every edge.
        receivers: The other end.
        tolerance: Relative change below which an edge has converged and is left alone, > 0.
        max_segments: Segments after which an edge is left as it is, a power of two, at least 2.
        plan: How much at once: a walk takes a pass for each of its points. A mesh is not used.
        progress: Called after every chunk with the walks done; how many there will be is not known before.

    Returns:
        Lengths, and how each came about.

    Raises:
        InputError: What `polyline_lengths` refuses, a tolerance that is not > 0, or an `max_segments` that is not such a power.
    """
    decode, latents, senders, receivers = _check(decode, latents, senders, receivers)
    check_number("tolerance", tolerance, "a relative change > 0", lambda value: value > 0)
    check_whole("max_segments", max_segments, 2, MOST_SEGMENTS)
    if max_segments & (max_segments - 1):
        raise InputError(
            f"max_segments: expected a power of two, found {max_segments}; take {1 << int(max_segments).bit_length()}."
        )
    lengths = _lengths(decode, latents, senders, receivers, 1, plan, progress)
    segments = np.ones(len(senders), np.int32)
    converged = np.zeros(len(senders), bool)
    while not converged.all() and segments.max() < max_segments:
        todo = np.flatnonzero(~converged)
        segments[todo] *= 2
        finer = _lengths(decode, latents, senders[todo], receivers[todo], int(segments[todo[0]]), plan, progress)
        converged[todo] = np.abs(finer - lengths[todo]) <= tolerance * finer
        lengths[todo] = finer
    return Refined(lengths, segments, converged)


def _check(
    decode: Decoder, latents: np.ndarray, senders: np.ndarray, receivers: np.ndarray
) -> tuple[Partial, np.ndarray, np.ndarray, np.ndarray]:
    latents = as_array("latents", latents)
    if latents.ndim not in (2, 4) or latents.size == 0:
        raise InputError(
            f"latents: expected a non-empty array (n, d) or grids (n, h, w, d), found shape {latents.shape}; reshape it."
        )
    check_finite("latents", latents)
    decode = as_partial(decode)
    check_decoder(decode, latents)
    return decode, latents, *check_edges(senders, receivers, latents.size // latents.shape[-1])


def _lengths(
    decode: Partial,
    latents: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    segments: int,
    plan: Plan,
    progress: Progress | None,
) -> np.ndarray:
    """`polyline_lengths` of checked input."""
    check_whole("segments", segments, 1, MOST_SEGMENTS)
    if len(senders) == 0:
        return np.zeros(0, latents.dtype)
    shape = latents.shape[1:]
    points = passes_within(plan, decode, shape, work="decodes", least=segments + 1, remedy=_REMEDY, dtype=latents.dtype)
    walk = _compile(segments, settle(plan).options)
    own, other = senders, receivers
    if latents.ndim == 4:
        own, other = np.concatenate([own, other]), np.concatenate([other, own])
    chunk = rows_of_call(len(own), points // (segments + 1))
    lengths = map_chunks(
        lambda i, j: walk(decode, *_walks(latents, i, j)), own, other, chunk=chunk, pad=True, progress=progress
    )
    if not np.isfinite(lengths).all():
        raise InputError(
            f"decoder: expected finite images, found NaN or infinity along {int((~np.isfinite(lengths)).sum())} of "
            f"{len(lengths)} walks; check the decoder between the latents."
        )
    return lengths.reshape(-1, len(senders)).mean(axis=0)


@functools.lru_cache(maxsize=32)
def _compile(segments: int, options: tuple[tuple[str, str], ...]) -> Callable:
    kernel = functools.partial(polyline_length, segments=segments)
    return jax.jit(jax.vmap(kernel, in_axes=(None, 0, 0)), compiler_options=dict(options))


def _walks(latents: np.ndarray, own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where walks begin, whole latents of a field or grids, and where they end: the same with the other token in the place."""
    positions, d = math.prod(latents.shape[1:-1]), latents.shape[-1]
    starts = latents[own // positions]
    ends = starts.reshape(len(own), positions, d).copy()
    ends[np.arange(len(own)), own % positions] = latents.reshape(-1, d)[other]
    return starts, ends.reshape(starts.shape)
