"""Pullback metrics of many latents: exact or sketched, of points or of tokens in their own context, on one device or several.

The kernels of `geovq.metric.pullback`, batched and compiled as `geovq.batching.run` says. Every function takes any decoder of
one latent (`geovq.decoder.adapters`), and refuses one that has no pullback metric.

Exact metrics take d forward-mode products a token, all tokens of a grid sharing one linearisation. Sketched ones take r
reverse-mode products a grid, however many tokens it has: the relative standard deviation of a squared length is √(2/r) at most.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer, Num

from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Kernel, Plan, run, run_summed
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_changes, check_decoder
from geovq.metric.pullback import grid_metric, pullback_metric, sketch, sketched_metric
from geovq.validation import InputError, check_finite, check_points


@dataclasses.dataclass(frozen=True)
class ExactMetric:
    """Metric of a point, or of every token of a grid."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every number of the latent."""
        return math.prod(shape)

    def __call__(self, decode: Partial, latent: Array, *, at_once: int) -> Array:
        """(d,) -> (d, d), or (h, w, d) -> (h, w, d, d)."""
        if latent.ndim == 1:
            return pullback_metric(decode, latent)
        return grid_metric(decode, latent, tokens=max(1, at_once // latent.shape[-1]))


@dataclasses.dataclass(frozen=True)
class Sketch:
    """Sketch S of a grid, or the metrics of its tokens from it. A loop would slow reverse mode down, so it is never divided."""

    probes: int
    factor: bool
    """Whether S itself is wanted."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """One for every probe."""
        return self.probes

    def __call__(self, decode: Partial, latent: Array, seed: Array, draw: Array, *, at_once: int) -> Array:
        """A latent, the data of a key, and the number of its draw -> (r, *latent.shape), or (..., d, d)."""
        key = jax.random.fold_in(jax.random.wrap_key_data(seed), draw)
        found = sketch(decode, latent, self.probes, key)
        return found if self.factor else sketched_metric(found)


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
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
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
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
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
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the rows done.

    Returns:
        (n, r, d) or (n, r, t·d), on the host, in intensity; tokens in raster order.

    Raises:
        InputError: As `token_metrics`.
    """
    latents = _check_latents(latents)
    kernel = Sketch(_check_probes(probes), factor=True)
    found = _checked_run(kernel, decode, latents, *_same_draw(seed, latents), plan=plan, progress=progress)
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
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the rows done.

    Returns:
        The means: chunks are summed as the metrics are, in float32 at least, and their sums in float64.

    Raises:
        InputError: As `token_metrics`.
    """
    latents, decode = _check_latents(latents), as_partial(decode)
    check_decoder(decode, latents)
    kernel: Kernel = ExactMetric()
    rows: tuple[np.ndarray, ...] = (latents,)
    if probes is not None:
        kernel = Sketch(_check_probes(probes), factor=False)
        rows = latents, *_draws(seed, np.arange(len(latents), dtype=np.uint32))
    sums = run_summed(kernel, decode, *rows, plan=plan, progress=progress)
    check_changes(decode, latents, sums)
    means = sums / len(latents)
    overall = means.mean(axis=tuple(range(means.ndim - 2)))
    return MeanMetrics(overall.astype(latents.dtype), means.astype(latents.dtype))


def check_grids(grids: Num[np.ndarray, "n h w d"]) -> Float[np.ndarray, "n h w d"]:
    """Grids of latents as a finite float array.

    Raises:
        InputError: Another rank, an empty set, NaN or infinity.
    """
    grids = np.asarray(grids)
    if grids.ndim != 4 or grids.size == 0:
        raise InputError(f"latents: expected non-empty grids (n, h, w, d), found shape {grids.shape}; add the axes.")
    if grids.dtype not in (np.float32, np.float64):
        grids = grids.astype(np.float32)
    check_finite("latents", grids)
    return grids


def _check_latents(latents: np.ndarray) -> np.ndarray:
    latents = np.asarray(latents)
    return check_points("latents", latents) if latents.ndim == 2 else check_grids(latents)


def _metrics(
    decode: Decoder, latents: np.ndarray, probes: int | None, seed: int, plan: Plan, progress: Progress | None
) -> np.ndarray:
    if probes is None:
        return _checked_run(ExactMetric(), decode, latents, plan=plan, progress=progress)
    kernel = Sketch(_check_probes(probes), factor=False)
    return _checked_run(kernel, decode, latents, *_same_draw(seed, latents), plan=plan, progress=progress)


def _checked_run(
    kernel: Kernel, decode: Decoder, latents: np.ndarray, *rows: np.ndarray, plan: Plan, progress: Progress | None
) -> np.ndarray:
    decode = as_partial(decode)
    check_decoder(decode, latents)
    found = run(kernel, decode, latents, *rows, plan=plan, progress=progress)
    check_changes(decode, latents, found)
    return found


def _check_probes(probes: int) -> int:
    if not isinstance(probes, int | np.integer) or probes < 1:
        raise InputError(f"probes: expected a number of at least 1, found {probes!r}; take None for exact metrics.")
    return probes


def _draws(seed: int, draws: Integer[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """What a row's probes are made from: equal draws have equal probes."""
    data = np.asarray(jax.random.key_data(jax.random.key(seed)))
    return np.broadcast_to(data, (len(draws), *data.shape)), draws


def _same_draw(seed: int, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _draws(seed, np.zeros(len(latents), np.uint32))
