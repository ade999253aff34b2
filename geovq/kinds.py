"""Kinds of images and the mean JᵀJ of each: what an image's own Jacobian is like, without computing it.

How tokens move the image depends mostly on what kind of image it is. Training images are clustered by their latents, measured by
what moves the image (`geovq.directions`), and each cluster keeps the mean of its images' JᵀJ at their codes.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from geovq.additive import as_stages, summed
from geovq.assign import assign_whitened
from geovq.chunks import Progress
from geovq.decoders import Decoder
from geovq.directions import leading_directions
from geovq.execution import REPEATABLE, Plan, run_summed
from geovq.joint import Problem, as_problem
from geovq.kmeans import kmeans
from geovq.linearised import projected_quadratic

_DIRECTIONS = 6
"""Directions of a token that are looked along at most, in the mean."""

_MEMBERS = 16
"""Images of a kind at least, in the mean."""


class Kinds(NamedTuple):
    """M kinds of images, in r coordinates of each of t tokens."""

    centres: Float[np.ndarray, "M t r"]
    """Mean coordinates of the latents of a kind's images."""
    grams: Float[np.ndarray, "M t r t r"]
    """Mean JᵀJ of a kind in these coordinates."""
    coordinates: Float[np.ndarray, "t r d"]
    """As in `geovq.directions`."""
    rest: Float[np.ndarray, "t d d"]
    """Mean metric of what has no coordinates at each position, intensity²."""


@dataclasses.dataclass(frozen=True)
class _Gram:
    """JᵀJ along the directions at one grid."""

    products: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every direction."""
        return self.products

    def __call__(self, problem: Problem, grid: Float[Array, "h w d"], image: Array, *, at_once: int) -> Array:
        """(t, r, t, r)."""
        assert problem.directions is not None
        return projected_quadratic(problem.decode, grid, image, problem.directions, at_once=at_once).gram


def measure_kinds(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    codes: Float[np.ndarray, "..."],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    kinds: int = 64,
    seed: int = 0,
    plan: Plan = REPEATABLE,
    progress: Progress | None = None,
) -> Kinds:
    """The kinds of some training images.

    Args:
        decode: Takes one grid to one image.
        images: Training images in [0, 1]; some 2,000.
        latents: What the encoder made of them.
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position.
        kinds: M at most; fewer where there are fewer than 16 images for each.
        seed: Of the clusters.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the images done.

    Returns:
        The kinds.

    Raises:
        InputError: A decoder that has no derivatives.
    """
    stages, d = as_stages(codes), latents.shape[-1]
    t = latents[0].size // d
    directions = leading_directions(position_metrics, stages, _DIRECTIONS * t)
    problem = as_problem(decode, latents, codes, position_metrics)._replace(directions=directions)
    mean_metric = position_metrics.reshape(-1, d, d).mean(axis=0)
    quantized = summed(stages, assign_whitened(latents.reshape(-1, d), stages, mean_metric)).reshape(latents.shape)
    places = np.einsum("nqi,qri->nqr", latents.reshape(-1, t, d), directions.coordinates)
    flat = places.reshape(len(places), -1)
    count = max(1, min(kinds, len(np.unique(flat, axis=0)), len(flat) // _MEMBERS))
    centres, labels = kmeans(flat, count, root=np.eye(flat.shape[1], dtype=np.float32), seed=seed)
    kernel, grams = _Gram(len(directions.steps)), np.zeros((count, *places.shape[1:], *places.shape[1:]), np.float32)
    for kind in range(count):
        mine = labels == kind
        sums = run_summed(kernel, problem, quantized[mine], images[mine], plan=plan, progress=progress)
        grams[kind] = sums / mine.sum()
    return Kinds(centres.reshape(-1, *places.shape[1:]), grams, directions.coordinates, directions.rest)
