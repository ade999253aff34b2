"""k-means under each point's own metric: cells by (c − z)ᵀG(c − z), codes by the mean that makes its sum small."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from geovq.assignment.nearest_codes import nearest_tokens_under
from geovq.codebook.dead_codes import revive_codes
from geovq.numerics.additive import sum_codes
from geovq.numerics.linalg import quadratic_form

_MEAN_PART = 0.03
"""Part of the mean metric that is added to a point's own: where its own sees nothing, codes would otherwise go astray."""

_TRIES = 10
"""Times that dead codes are moved at the end; moving some may take the points of others."""


class MetricKMeans(NamedTuple):
    """Codes and how the iteration ended."""

    codes: Float[np.ndarray, "S K d"]
    errors: list[float]
    """Mean error of a point, intensity², with the codes that each iteration began with. With one quantizer it never rises, unless
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


def metric_kmeans(
    points: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    weights: Float[np.ndarray, " n"],
    start: Float[np.ndarray, "S K d"],
    *,
    mean_metric: Float[np.ndarray, "d d"],
    iterations: int = 40,
    tolerance: float = 1e-3,
) -> MetricKMeans:
    """Alternates cells and metric means, quantizer after quantizer, until an iteration gains less than `tolerance` of the error.

    Args:
        points: Latents (n, d).
        metrics: Their own metrics (n, d, d).
        weights: How often each counts.
        start: Codes to begin with (S, K, d).
        mean_metric: Their mean, of which a part is added to each (`full_rank`).
        iterations: At most.
        tolerance: Relative.

    Returns:
        The codes. With one quantizer every code has points: one that loses them becomes the point with the greatest error.
    """
    codes, metrics = start.astype(np.float64), full_rank(metrics, mean_metric)
    errors: list[float] = []
    for _ in range(iterations):
        tokens = nearest_tokens_under(points, codes.astype(np.float32), metrics)
        revived = len(codes) == 1 and _revive(points, metrics, weights, codes, tokens)
        for s in range(len(codes)):
            residual = points - (sum_codes(codes, tokens) - codes[s][tokens[:, s]])
            if s == 0:
                found = quadratic_form(residual - codes[0][tokens[:, 0]], metrics)
                errors.append(float(np.average(found, weights=weights)))
            codes[s] = metric_means(residual, metrics, weights, tokens[:, s], codes[s])
        if not revived and len(errors) > 1 and errors[-2] - errors[-1] < tolerance * errors[-2]:
            return MetricKMeans(_revive_all(points, metrics, weights, codes), errors, True)
    return MetricKMeans(_revive_all(points, metrics, weights, codes), errors, False)


def _revive_all(
    points: np.ndarray, metrics: np.ndarray, weights: np.ndarray, codes: Float[np.ndarray, "S K d"]
) -> Float[np.ndarray, "S K d"]:
    """The codes, of which those of a single quantizer that have no points become points with great errors."""
    if len(codes) == 1:
        for _ in range(_TRIES):
            tokens = nearest_tokens_under(points, codes.astype(np.float32), metrics)
            if not _revive(points, metrics, weights, codes, tokens):
                break
    return codes.astype(np.float32)


def _revive(
    points: np.ndarray, metrics: np.ndarray, weights: np.ndarray, codes: np.ndarray, tokens: np.ndarray
) -> bool:
    """Moves dead codes of the only quantizer to points with great errors, which become theirs; whether there were any."""
    errors = weights * quadratic_form(points - codes[0][tokens[:, 0]], metrics)
    codes[0], moved, chosen = revive_codes(codes[0], tokens, points, errors)
    tokens[chosen, 0] = moved
    return len(moved) > 0
