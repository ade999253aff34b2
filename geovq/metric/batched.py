"""Pullback metrics of many latents: exact or sketched, of points or of tokens in their own context, on one device or several.

The kernels of `geovq.metric.pullback`, batched and compiled as `geovq.batching.run` says. Every function takes any decoder of
one latent (`geovq.decoder.adapters`), and refuses one that has no pullback metric.

Exact metrics take d forward-mode products a token, all tokens of a grid sharing one linearisation. Sketched ones take r
reverse-mode products a grid, however many tokens it has: the relative standard deviation of a squared length is √(2/r) at most.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer, Num

from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import run, run_summed
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_changes, check_decoder
from geovq.metric.pullback import grid_metric, pullback_metric
from geovq.metric.sketched import Sketching
from geovq.validation import InputError, as_array, check_points, check_real, check_seed, check_whole

MOST_PROBES = 1 << 16
"""Of a sketch; exact metrics take less long before."""

_EXACT = "take None for exact metrics"

_SKETCH = "take smaller images, or sketch the metrics with probes=16"


@dataclasses.dataclass(frozen=True)
class ExactMetric:
    """Metric of a point, or of every token of a grid."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every number of the latent."""
        return math.prod(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The metrics beside the products; the tangents of one token are never divided."""
        held = 4 * math.prod(shape) * shape[-1]
        return decoder.products(held)._replace(least=shape[-1], remedy=_SKETCH)

    def __call__(self, decode: Partial, latent: Array, *, at_once: int) -> Array:
        """(d,) -> (d, d), or (h, w, d) -> (h, w, d, d)."""
        if latent.ndim == 1:
            return pullback_metric(decode, latent)
        return grid_metric(decode, latent, tokens=max(1, at_once // latent.shape[-1]))


def pullback_metrics(
    decode: Decoder,
    z: Num[np.ndarray, "n d"],
    *,
    probes: int | None = None,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n d d"]:
    """`pullback_metric` at n latents.

    Args:
        decode: Takes one latent (d,) to one image of any shape.
        z: Latents (n, d).
        probes: As for `token_metrics`.
        seed: Of the probes.
        plan: How much at once and on which devices; the default suits the kind of machine.
        progress: Called after every chunk with the latents done.

    Returns:
        (n, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, or a decoder that has no metric there.
    """
    z = check_points("latents", z)
    return _metrics(decode, z, probes, seed, plan, progress)


def token_metrics(
    decode: Decoder,
    grids: Num[np.ndarray, "n h w d"],
    *,
    probes: int | None = None,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n h w d d"]:
    """`grid_metric` of n grids: the metric of every token in its own context, or an unbiased estimate of it.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape.
        grids: Latents (n, h, w, d).
        probes: Random probes r of a sketch SᵀS, of rank at most r; None computes the metrics exactly.
        seed: Of the probes. All grids have the same ones, so a grid's metrics do not depend on its batch. For the same reason
            the errors of many grids do not average out: take `mean_metrics` for means.
        plan: How much at once and on which devices; the default suits the kind of machine.
        progress: Called after every chunk with the grids done.

    Returns:
        (n, h, w, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, fewer than one probe, or a decoder that has no metric there.
    """
    return _metrics(decode, check_grids(grids), probes, seed, plan, progress)


def sketches(
    decode: Decoder,
    latents: Num[np.ndarray, "n ..."],
    *,
    probes: int,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n r td"]:
    """Sketches S = ΩJ of the whole Jacobian at n latents or grids, by the same probes as the metrics of that seed.

    ‖SΔ‖² estimates the squared change of the image by a step Δ of all tokens at once, to first order; the columns of one token
    give its metric.

    Args:
        decode: Takes one latent (d,), or one grid (h, w, d), to one image of any shape.
        latents: Latents (n, d), or grids (n, h, w, d).
        probes: Random probes r.
        seed: Of the probes.
        plan: How much at once and on which devices; the default suits the kind of machine.
        progress: Called after every chunk with the rows done.

    Returns:
        (n, r, d) or (n, r, t·d), on the host, in intensity; tokens in raster order.

    Raises:
        InputError: As `token_metrics`.
    """
    sketched = _sketching(probes, seed, factor=True)
    latents = _check_latents(latents)
    decode = as_partial(decode)
    check_decoder(decode, latents)
    found = sketched.run(decode, latents, _same_draw(latents), plan=plan, progress=progress)
    check_changes(decode, latents, found)
    return found.reshape(len(latents), probes, -1)


class MeanMetrics(NamedTuple):
    """Mean metrics of tokens, intensity²."""

    overall: Float[np.ndarray, "d d"]
    """Over all tokens: the metric of `whitened` assignment."""
    by_position: Float[np.ndarray, "... d d"]
    """Over the tokens at each position of the grid; where latents have no grid, the same as `overall`."""


def mean_metrics(
    decode: Decoder,
    latents: Num[np.ndarray, "n ... d"],
    *,
    probes: int | None = None,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> MeanMetrics:
    """Means of metrics over n latents or grids, without keeping the metrics.

    Args:
        decode: Takes one latent (d,), or one grid (h, w, d), to one image of any shape.
        latents: Latents (n, d), or grids (n, h, w, d).
        probes: Random probes r; None computes the metrics exactly. Here every row has its own probes, so that their errors
            average out: a few are enough.
        seed: Of the probes.
        plan: How much at once and on which devices; the default suits the kind of machine.
        progress: Called after every chunk with the rows done.

    Returns:
        The means: chunks are summed as the metrics are, in float32 at least, and their sums in float64.

    Raises:
        InputError: As `token_metrics`.
    """
    latents, decode = _check_latents(latents), as_partial(decode)
    check_decoder(decode, latents)
    if probes is None:
        sums = run_summed(ExactMetric(), decode, latents, plan=plan, progress=progress)
    else:
        sketched, draws = _sketching(probes, seed, factor=False), np.arange(len(latents), dtype=np.uint32)
        sums = sketched.run_summed(decode, latents, draws, plan=plan, progress=progress)
    check_changes(decode, latents, sums)
    means = sums / len(latents)
    overall = means.mean(axis=tuple(range(means.ndim - 2)))
    return MeanMetrics(overall.astype(latents.dtype), means.astype(latents.dtype))


def check_grids(grids: Num[np.ndarray, "n h w d"]) -> Float[np.ndarray, "n h w d"]:
    """Grids of latents as a finite float array.

    Raises:
        InputError: Another rank, an empty set, NaN or infinity.
    """
    grids = as_array("latents", grids)
    if grids.ndim != 4 or grids.size == 0:
        raise InputError(f"latents: expected non-empty grids (n, h, w, d), found shape {grids.shape}; add the axes.")
    found = check_real("latents", grids)
    return found if grids.dtype in (np.float32, np.float64) else found.astype(np.float32)


def _sketching(probes: int, seed: int, *, factor: bool) -> Sketching:
    """How latents are sketched; numbers of NumPy become Python's, for compiled functions are found again by them.

    Raises:
        InputError: Numbers that are not whole or out of range.
    """
    check_whole("probes", probes, most=MOST_PROBES, remedy=_EXACT)
    check_seed(seed)
    return Sketching(int(probes), int(seed), factor)


def _check_latents(latents: np.ndarray) -> np.ndarray:
    latents = as_array("latents", latents)
    return check_points("latents", latents) if latents.ndim == 2 else check_grids(latents)


def _metrics(
    decode: Decoder, latents: np.ndarray, probes: int | None, seed: int, plan: Plan, progress: Progress | None
) -> np.ndarray:
    sketched = None if probes is None else _sketching(probes, seed, factor=False)
    decode = as_partial(decode)
    check_decoder(decode, latents)
    if sketched is None:
        found = run(ExactMetric(), decode, latents, plan=plan, progress=progress)
    else:
        found = sketched.run(decode, latents, _same_draw(latents), plan=plan, progress=progress)
    check_changes(decode, latents, found)
    return found


def _same_draw(latents: np.ndarray) -> Integer[np.ndarray, " n"]:
    """All rows have the same probes."""
    return np.zeros(len(latents), np.uint32)
