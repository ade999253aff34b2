"""k-means under each point's own metric: cells by (c − z)ᵀG(c − z), codes by the mean that makes its sum small."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from geovq.assignment.nearest import assign_local
from geovq.numerics.additive import sum_codes

_MEAN_PART = 0.03
"""Part of the mean metric that is added to a point's own: where its own sees nothing, codes would otherwise go astray."""


class Found(NamedTuple):
    """Codes and how the iteration ended."""

    codes: Float[np.ndarray, "S K d"]
    errors: list[float]
    """Mean error of a point, intensity², with the codes that each iteration began with. With one stage it never rises, but where
    a code was unused."""
    converged: bool
    """Whether the last iteration gained less than the tolerance."""


def metric_means(
    points: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    weights: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    codes: Float[np.ndarray, "K d"],
) -> Float[np.ndarray, "K d"]:
    """The codes that make Σ (c − z)ᵀG(c − z) of their cells small: c = (ΣG)⁻¹ ΣGz.

    Args:
        points: z (n, d).
        metrics: G (n, d, d), of full rank.
        weights: How often each point counts (n,).
        labels: Its cell (n,).
        codes: The codes before (K, d); one without points stays.

    Returns:
        float64 (K, d).
    """
    n, d = points.shape
    member = scipy.sparse.csr_array((weights, (labels, np.arange(n))), shape=(len(codes), n))
    total = (member @ metrics.reshape(n, d * d).astype(np.float64)).reshape(-1, d, d)
    moments = member @ np.einsum("nij,nj->ni", metrics, points).astype(np.float64)
    found = codes.astype(np.float64)
    used = np.bincount(labels, minlength=len(codes)) > 0
    found[used] = np.linalg.solve(total[used], moments[used][..., None])[..., 0]
    return found


def full_rank(metrics: Float[np.ndarray, "n d d"], mean_metric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "n d d"]:
    """Metrics with a small part of their mean added, and a thousandth of that in directions that no image depends on."""
    d = len(mean_metric)
    scale = max(float(np.trace(mean_metric)) / d, 1e-30)
    return metrics + _MEAN_PART * (mean_metric + 1e-3 * scale * np.eye(d)).astype(metrics.dtype)


def lloyd(
    points: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    weights: Float[np.ndarray, " n"],
    start: Float[np.ndarray, "S K d"],
    *,
    mean_metric: Float[np.ndarray, "d d"],
    iterations: int = 40,
    tolerance: float = 1e-3,
) -> Found:
    """Alternates cells and metric means, stage after stage, until an iteration gains less than `tolerance` of the error.

    Args:
        points: Latents (n, d).
        metrics: Their own metrics (n, d, d).
        weights: How often each counts.
        start: Codes to begin with (S, K, d).
        mean_metric: Their mean, of which a part is added to each (`full_rank`).
        iterations: At most.
        tolerance: Relative.

    Returns:
        The codes. Every code of a single stage has points: one that loses them becomes the point with the greatest error.
    """
    codes, metrics = start.astype(np.float64), full_rank(metrics, mean_metric)
    errors: list[float] = []
    for _ in range(iterations):
        tokens = assign_local(points, codes, metrics)
        revived = False
        for s in range(len(codes)):
            if len(codes) == 1:
                revived = _revive(points, metrics, weights, codes, tokens)
            rest = points - (sum_codes(codes, tokens) - codes[s][tokens[:, s]])
            if s == 0:
                errors.append(float(np.average(_errors(rest - codes[0][tokens[:, 0]], metrics), weights=weights)))
            codes[s] = metric_means(rest, metrics, weights, tokens[:, s], codes[s])
        if not revived and len(errors) > 1 and errors[-2] - errors[-1] < tolerance * errors[-2]:
            return Found(_alive(points, metrics, weights, codes), errors, True)
    return Found(_alive(points, metrics, weights, codes), errors, False)


def _alive(points: np.ndarray, metrics: np.ndarray, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The codes, those of a single stage that no point has become being points with great errors."""
    if len(codes) == 1:
        for _ in range(10):
            if not _revive(points, metrics, weights, codes, assign_local(points, codes, metrics)):
                break
    return codes.astype(np.float32)


def _revive(
    points: np.ndarray, metrics: np.ndarray, weights: np.ndarray, codes: np.ndarray, tokens: np.ndarray
) -> bool:
    """Moves unused codes to the points with the greatest errors, which become theirs; whether there were any."""
    unused = np.flatnonzero(np.bincount(tokens[:, 0], minlength=codes.shape[1]) == 0)
    if len(unused):
        errors = weights * _errors(points - codes[0][tokens[:, 0]], metrics)
        worst = np.argsort(-errors, kind="stable")[: len(unused)]
        codes[0][unused] = points[worst]
        tokens[worst, 0] = unused
    return len(unused) > 0


def _errors(moves: np.ndarray, metrics: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ni->n", np.einsum("nij,nj->ni", metrics, moves), moves)
