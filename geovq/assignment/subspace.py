"""The directions of latents that move the image: a step between codes has few that matter, and others need no Jacobian.

A direction counts by how far a step as long as codes lie apart moves the image along it, in the mean over the data: the
eigenvectors of CḠC, where C is the root of the codes' covariance and Ḡ the mean metric of a position (principal directions under
two quadratic forms, as in linear discriminant analysis; Fisher 1936). They are orthogonal in Ḡ, so that the residual has, in the
mean, no product with them. Scaled by Ḡ, coordinates along them are intensities.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.numerics.linalg import eigen_root

_NOISE = 1e-7
"""Share of the largest eigenvalue below which the rounding of float32 metrics decides."""

_SINGULAR = 1e-9
"""Share of the codes' largest variance that their least counts as, where they differ in few directions."""


class Directions(NamedTuple):
    """R directions, each of one token of a grid with t = h·w tokens, at most r of the same token."""

    steps: Float[np.ndarray, "R h w d"]
    """Steps along them that move the image by 1 in the mean, √(ΔᵀḠΔ)."""
    tokens: Int[np.ndarray, " R"]
    """Index in 0..t-1 of the token that each of them moves."""
    columns: Int[np.ndarray, " R"]
    """Index of each among the directions of its token."""
    coordinates: Float[np.ndarray, "t r d"]
    """Coordinates of a step Δ of a token q are coordinates[q]Δ; those beyond the directions of a token are 0."""
    residual: Float[np.ndarray, "t d d"]
    """Mean metric at each position of what the directions leave over, intensity²."""


def leading_directions(
    position_metrics: Float[np.ndarray, "h w d d"], codes: Float[np.ndarray, "S K d"], count: int
) -> Directions:
    """The directions of all positions together along which codes move the image most.

    Args:
        position_metrics: Mean of JᵀJ at each position.
        codes: The codes between which tokens step.
        count: R at most, at least 1: fewer where fewer move the image at all.

    Returns:
        The directions, the one that moves the image most first; float32.
    """
    h, w, d = np.shape(position_metrics)[:3]
    metrics = np.asarray(position_metrics, np.float64).reshape(-1, d, d)
    spread = np.sum([np.cov(each.T.astype(np.float64), bias=True).reshape(d, d) for each in codes], axis=0)
    root = eigen_root(spread, floor=_SINGULAR)
    strengths, vectors = np.linalg.eigh(root @ metrics @ root)
    tokens, ranks = np.unravel_index(np.argsort(-strengths, axis=None, kind="stable"), strengths.shape)
    kept = max(1, int(np.sum(strengths > _NOISE * strengths.max())))
    tokens, ranks = tokens[: min(count, kept)], ranks[: min(count, kept)]
    columns = np.array([np.sum(tokens[:i] == token) for i, token in enumerate(tokens)])
    strength = strengths[tokens, ranks]
    scale = np.sqrt(np.where(strength > 0, strength, 1))  # 0 only where nothing moves the image
    along = np.einsum("ij,rj->ri", root, vectors[tokens, :, ranks]) / scale[:, None]
    steps = np.zeros((len(tokens), h * w, d))
    steps[np.arange(len(tokens)), tokens] = along
    coordinates = np.zeros((h * w, columns.max() + 1, d))
    coordinates[tokens, columns] = np.einsum("ri,rij->rj", along, metrics[tokens])
    return Directions(
        steps.reshape(-1, h, w, d).astype(np.float32),
        tokens.astype(np.int32),
        columns.astype(np.int32),
        coordinates.astype(np.float32),
        (metrics - coordinates.swapaxes(1, 2) @ coordinates).astype(np.float32),
    )
