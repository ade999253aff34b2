"""Lengths of edges from cached metrics: one quadratic form at either end. `curve_lengths` measures by decoding instead."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Array, Float, Int

from geovq.decoder.adapters import AnyArray
from geovq.metric.pullback import norm
from geovq.numerics.linalg import quadratic_form
from geovq.validation import InputError, as_array, check_finite, check_real, check_whole

# Skewness and negative eigenvalues that rounding leaves in a metric, as a share of its largest entry: JᵀJ in float32, or in the
# shorter floats that some accelerators multiply with.
_ROUNDING = 1e-3

# Metrics that are checked at once.
_CHECKED = 8192


def edge_length(
    step: Float[AnyArray, " d"], metric_a: Float[AnyArray, "d d"], metric_b: Float[AnyArray, "d d"]
) -> Float[Array, ""]:
    """Length of one straight edge by the trapezoid rule: the mean of its length under the metrics at either end.

    Args:
        step: Difference of the two latents.
        metric_a: Metric at one end.
        metric_b: Metric at the other.

    Returns:
        ½(√(ΔᵀG_aΔ) + √(ΔᵀG_bΔ)), in intensity units.
    """
    return 0.5 * (norm(metric_a, step) + norm(metric_b, step))


def measure_edges(
    z: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    senders: Int[np.ndarray, " m"],
    receivers: Int[np.ndarray, " m"],
    *,
    chunk: int = 4096,
) -> Float[np.ndarray, " m"]:
    """`edge_length` of m edges, from metrics that were computed once per latent.

    Args:
        z: Latents (n, d).
        metrics: Metric at each (n, d, d).
        senders: One end of every edge, in 0..n-1.
        receivers: The other end.
        chunk: Edges that a core takes at once; bounds the memory at 4·chunk·d² bytes a core in float32.

    Returns:
        Lengths (m,), in intensity units, in float32 at least.

    Raises:
        InputError: Shapes that do not fit, what are no finite real numbers, edges outside 0..n-1, or a chunk below 1.
    """
    z, metrics = check_real("z", as_array("z", z)), check_real("metrics", as_array("metrics", metrics))
    if z.ndim != 2:
        raise InputError(f"latents: expected shape (n, d), found {z.shape}; reshape them.")
    n, d = z.shape
    if metrics.shape != (n, d, d):
        raise InputError(f"metrics: expected shape {(n, d, d)}, found {metrics.shape}; give one metric per latent.")
    check_whole("chunk", chunk)
    senders, receivers = check_edges(senders, receivers, n)
    lengths = np.empty(len(senders), np.result_type(z, metrics, np.float32))

    def measure(start: int) -> None:
        i, j = (ends[start : start + chunk] for ends in (senders, receivers))
        steps = z[j].astype(lengths.dtype) - z[i]
        lengths[start : start + chunk] = 0.5 * (_norms(steps, metrics[i]) + _norms(steps, metrics[j]))

    # On the host, where the metrics are: to gather them is most of the work, and a compiled gather would be compiled for every n.
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        list(cores.map(measure, range(0, len(senders), chunk)))
    return lengths


def _norms(steps: Float[np.ndarray, "e d"], metrics: Float[np.ndarray, "e d d"]) -> Float[np.ndarray, " e"]:
    """`geovq.metric.pullback.norm` of many steps, each with its own metric."""
    return np.sqrt(np.maximum(quadratic_form(steps, metrics), 0))  # rounding may leave a square just below zero


def check_edges(
    senders: Int[np.ndarray, " m"], receivers: Int[np.ndarray, " m"], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of edges between n latents.

    Args:
        senders: One end of every edge, in 0..n-1.
        receivers: The other end.
        n: Number of latents.

    Returns:
        The same two lists, as arrays.

    Raises:
        InputError: Lists of unequal length, ends that are not integers, or ends outside 0..n-1.
    """
    senders, receivers = as_array("edges", senders), as_array("edges", receivers)
    if senders.shape != receivers.shape or senders.ndim != 1:
        raise InputError(
            f"edges: expected two lists of equal length, found shapes {senders.shape} and {receivers.shape}; pass both ends."
        )
    for ends in (senders, receivers):
        if ends.size and not np.issubdtype(ends.dtype, np.integer):
            raise InputError(
                f"edges: expected integers in 0..{n - 1}, found {ends.dtype}; pass what `edges` of a graph lists."
            )
        if ends.size and (ends.min() < 0 or ends.max() >= n):
            raise InputError(
                f"edges: expected ends in 0..{n - 1}, found {ends.min()}..{ends.max()}; the graph is of other latents."
            )
    return senders, receivers


def check_metrics(metrics: np.ndarray, points: np.ndarray) -> Float[np.ndarray, "n d d"]:
    """Metrics that somebody computed for points.

    Args:
        metrics: Expected to be (n, d, d).
        points: (n, d).

    Returns:
        The same metrics as float32 or float64.

    Raises:
        InputError: Another shape, NaN or infinity, or matrices that are not symmetric and positive semi-definite.
    """
    metrics = as_array("metrics", metrics)
    n, d = points.shape
    if metrics.shape != (n, d, d):
        raise InputError(
            f"metric: expected shape {(n, d, d)} for points {(n, d)}, found {metrics.shape}; return one metric for each."
        )
    if metrics.dtype not in (np.float32, np.float64):
        metrics = metrics.astype(np.float64)
    check_finite("metric", metrics)
    for start in range(0, n, _CHECKED):
        some = metrics[start : start + _CHECKED]
        tolerance = _ROUNDING * np.abs(some).max(axis=(1, 2))
        skewness = np.abs(some - some.swapaxes(1, 2)).max(axis=(1, 2))
        lowest = np.linalg.eigvalsh(some)[:, 0]
        bad = (skewness > tolerance) | (lowest < -tolerance)
        if bad.any():
            first = int(np.argmax(bad))
            raise InputError(
                f"metric: expected symmetric positive semi-definite matrices, found another at {start + first} with skewness "
                f"{skewness[first]:g} and least eigenvalue {lowest[first]:g}; return JᵀJ or the like."
            )
    return metrics
