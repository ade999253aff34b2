"""The directions of latents that move the image: a step between codes has few that matter, and others need no Jacobian.

A direction counts by how far a step as long as codes lie apart moves the image along it, in the mean over the data: the
eigenvectors of CᵀḠC, with C a root of the codes' covariance and Ḡ the mean metric of a position. (Principal directions under two
quadratic forms, as in linear discriminant analysis; Fisher 1936.) They are orthogonal in Ḡ, so that what is left over has, in the
mean, no product with them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_NOISE = 1e-7
"""Share of the largest eigenvalue below which the rounding of float32 metrics decides."""

_TINY = float(np.finfo(np.float32).tiny)


class Directions(NamedTuple):
    """Steps of single tokens of a grid with t = h·w tokens: Δ = Σ steps (dualsᵀΔ) + what is left over."""

    steps: Float[np.ndarray, "r h w d"]
    """Each has one token that is not zero."""
    duals: Float[np.ndarray, "r t d"]
    """dualsᵀ(step) is 1 with the own step and 0 with all others."""
    rest: Float[np.ndarray, "t d d"]
    """Mean metric of what is left over at each position, intensity²."""


def leading_directions(
    position_metrics: Float[np.ndarray, "h w d d"], stages: Float[np.ndarray, "S K d"], count: int
) -> Directions:
    """The directions of all positions together along which codes move the image most.

    Args:
        position_metrics: Mean of JᵀJ at each position.
        stages: The codes between which tokens step.
        count: r at most, at least 1: fewer where fewer move the image at all.

    Returns:
        The directions, the one that moves the image most first; float32.
    """
    h, w, d = np.shape(position_metrics)[:3]
    metrics = np.asarray(position_metrics, np.float64).reshape(-1, d, d)
    root = _root(np.sum([np.cov(codes.T.astype(np.float64), bias=True).reshape(d, d) for codes in stages], axis=0))
    strengths, vectors = np.linalg.eigh(root.T @ metrics @ root)
    places, columns = np.unravel_index(np.argsort(-strengths, axis=None, kind="stable"), strengths.shape)
    kept = int(np.sum(strengths > _NOISE * max(strengths.max(), _TINY)))
    r = min(count, max(1, kept))
    places, columns = places[:r], columns[:r]
    along = np.einsum("ij,rj->ri", root, vectors[places, :, columns])
    strength = np.maximum(strengths[places, columns], _TINY)
    across = np.einsum("ri,rij->rj", along, metrics[places]) / strength[:, None]
    steps, duals = np.zeros((2, r, h * w, d))
    steps[np.arange(r), places], duals[np.arange(r), places] = along, across
    rest = metrics.copy()
    np.subtract.at(rest, places, strength[:, None, None] * across[:, :, None] * across[:, None, :])
    return Directions(*(a.astype(np.float32) for a in (steps.reshape(r, h, w, d), duals, rest)))


def _root(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A root C of a covariance CCᵀ, not singular, also where codes differ in few directions or not at all."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 1e-9 * values[-1])) if values[-1] > 0 else vectors
