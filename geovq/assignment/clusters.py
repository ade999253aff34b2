"""Kinds of images and the mean JᵀJ of each: what an image's own Jacobian is like, without computing it.

How tokens move the image depends mostly on what kind of image it is. Training images are clustered by their latents, measured by
what moves the image (`geovq.assignment.subspace`), and each cluster keeps the mean of its images' JᵀJ at their codes.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from geovq.assignment.nearest import assign_whitened
from geovq.assignment.quadratic import projected_gram
from geovq.assignment.subspace import Directions, leading_directions
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan, run_summed
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_decoder
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.numerics.kmeans import kmeans

_DIRECTIONS = 6
"""Directions of a token that are looked along at most, in the mean."""

_MEMBERS = 16
"""Images of a kind at least, in the mean."""

_NUMBERS = 1 << 26
"""Numbers of all grams at most (256 MiB)."""


class Kinds(NamedTuple):
    """M kinds of images, in r coordinates of each of t tokens."""

    centres: Float[np.ndarray, "M t r"]
    """Mean coordinates of the latents of a kind's images."""
    grams: Float[np.ndarray, "M t r t r"]
    """Mean JᵀJ of a kind in these coordinates."""
    coordinates: Float[np.ndarray, "t r d"]
    """As in `geovq.assignment.subspace`."""
    rest: Float[np.ndarray, "t d d"]
    """Mean metric of what has no coordinates at each position, intensity²."""


@dataclasses.dataclass(frozen=True)
class _Gram:
    """JᵀJ along the directions at one grid."""

    tangents: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """One for each tangent."""
        return self.tangents

    def __call__(self, shared: tuple[Partial, Directions], grid: Float[Array, "h w d"], *, at_once: int) -> Array:
        """(t, r, t, r)."""
        return projected_gram(shared[0], grid, shared[1], at_once=at_once)


def measure_kinds(
    decode: Decoder,
    latents: Float[np.ndarray, "n h w d"],
    codes: Float[np.ndarray, "..."],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    kinds: int = 256,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Kinds:
    """The kinds of some training images.

    Args:
        decode: Takes one grid to one image.
        latents: What the encoder made of training images; some thousands.
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position.
        kinds: M at most; fewer where there are fewer than 16 images for each, or where M grams of (t·r)² numbers would take more
            than 256 MiB: 64 of 8 x 8 tokens with 16 coordinates each.
        seed: Of the clusters.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the images done.

    Returns:
        The kinds.

    Raises:
        InputError: A decoder that has no derivatives, or some that are not finite.
    """
    latents, stages = np.asarray(latents, np.float32), as_quantizers(codes)
    n, d, t = len(latents), latents.shape[-1], latents[0, ..., 0].size
    directions = leading_directions(position_metrics, stages, _DIRECTIONS * t)
    mean_metric = position_metrics.reshape(-1, d, d).mean(axis=0)
    quantized = sum_codes(stages, assign_whitened(latents.reshape(-1, d), stages, mean_metric)).reshape(latents.shape)
    places = np.einsum("nqi,qri->nqr", latents.reshape(n, t, d), directions.coordinates)
    flat, r = places.reshape(n, -1), places.shape[-1]
    count = max(1, min(kinds, len(np.unique(flat, axis=0)), n // _MEMBERS, _NUMBERS // (t * r) ** 2))
    centres, labels = kmeans(flat, count, root=np.eye(t * r, dtype=np.float32), seed=seed)
    shared, kernel = (as_partial(decode), directions), _Gram(len(directions.steps))
    check_decoder(shared[0], latents)
    grams = np.zeros((count, t, r, t, r), np.float32)
    for kind in range(count):
        mine = quantized[labels == kind]
        grams[kind] = run_summed(kernel, shared, mine, plan=plan, progress=progress) / len(mine)
    return Kinds(centres.reshape(count, t, r), grams, directions.coordinates, directions.rest)
