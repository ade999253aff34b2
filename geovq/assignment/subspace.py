"""The directions of latents that move the image: a step between codes has few that matter, and others need no Jacobian.

A direction counts by how far a step as long as codes lie apart moves the image along it, in the mean over the data: the
eigenvectors of CᵀḠC, with C a root of the codes' covariance and Ḡ the mean metric of a position. (Principal directions under two
quadratic forms, as in linear discriminant analysis; Fisher 1936.) They are orthogonal in Ḡ, so that what is left over has, in the
mean, no product with them. Scaled by Ḡ, coordinates along them are intensities.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_NOISE = 1e-7
"""Share of the largest eigenvalue below which the rounding of float32 metrics decides."""


class Directions(NamedTuple):
    """R directions, each of one token of a grid with t = h·w tokens, at most r of the same token."""

    steps: Float[np.ndarray, "R h w d"]
    """Steps along them that move the image by 1 in the mean, √(ΔᵀḠΔ)."""
    places: Int[np.ndarray, " R"]
    """Number of the token that each of them moves."""
    columns: Int[np.ndarray, " R"]
    """Number of each among those of its token."""
    coordinates: Float[np.ndarray, "t r d"]
    """Coordinates of a step Δ of a token q are coordinates[q]Δ; those beyond the directions of a token are 0."""
    rest: Float[np.ndarray, "t d d"]
    """Mean metric of what is left over at each position, intensity²."""


def leading_directions(
    position_metrics: Float[np.ndarray, "h w d d"], stages: Float[np.ndarray, "S K d"], count: int
) -> Directions:
    """The directions of all positions together along which codes move the image most.

    Args:
        position_metrics: Mean of JᵀJ at each position.
        stages: The codes between which tokens step.
        count: R at most, at least 1: fewer where fewer move the image at all.

    Returns:
        The directions, the one that moves the image most first; float32.
    """
    h, w, d = np.shape(position_metrics)[:3]
    metrics = np.asarray(position_metrics, np.float64).reshape(-1, d, d)
    root = _root(np.sum([np.cov(codes.T.astype(np.float64), bias=True).reshape(d, d) for codes in stages], axis=0))
    strengths, vectors = np.linalg.eigh(root.T @ metrics @ root)
    places, vector = np.unravel_index(np.argsort(-strengths, axis=None, kind="stable"), strengths.shape)
    kept = max(1, int(np.sum(strengths > _NOISE * strengths.max())))
    places, vector = places[: min(count, kept)], vector[: min(count, kept)]
    columns = np.array([np.sum(places[:i] == place) for i, place in enumerate(places)])
    strength = strengths[places, vector]
    scale = np.sqrt(np.where(strength > 0, strength, 1))  # 0 only where nothing moves the image
    along = np.einsum("ij,rj->ri", root, vectors[places, :, vector]) / scale[:, None]
    steps = np.zeros((len(places), h * w, d))
    steps[np.arange(len(places)), places] = along
    coordinates = np.zeros((h * w, columns.max() + 1, d))
    coordinates[places, columns] = np.einsum("ri,rij->rj", along, metrics[places])
    return Directions(
        steps.reshape(-1, h, w, d).astype(np.float32),
        places.astype(np.int32),
        columns.astype(np.int32),
        coordinates.astype(np.float32),
        (metrics - coordinates.swapaxes(1, 2) @ coordinates).astype(np.float32),
    )


def _root(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A root C of a covariance CCᵀ, not singular, also where codes differ in few directions or not at all."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 1e-9 * values[-1])) if values[-1] > 0 else vectors
