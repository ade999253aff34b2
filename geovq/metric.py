"""Pullback metrics of many latents: exact or sketched, of points or of tokens in their own context, on one device or several.

The kernels of `geovq.pullback`, batched and compiled as `geovq.execution` says. Every function takes any decoder of one latent
(`geovq.decoders`), and refuses one that has no pullback metric.

Exact metrics take d forward-mode products a token, all tokens of a grid sharing one linearisation. Sketched ones take r
reverse-mode products a grid, however many tokens it has: the relative error of a squared length falls as √(2/r).
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.checks import InputError, check_points
from geovq.chunks import Progress
from geovq.decoder_checks import check_decoder, check_derivatives
from geovq.decoders import Decoder, as_partial
from geovq.execution import MEASURED, Kernel, Plan, run, run_summed
from geovq.pullback import grid_metric, pullback_metric, sketch, sketched_metric


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

    def __call__(self, decode: Partial, latent: Array, key: Array, *, at_once: int) -> Array:
        """A latent and the data of a key -> (r, *latent.shape), or (..., d, d)."""
        found = sketch(decode, latent, self.probes, jax.random.wrap_key_data(key))
        return found if self.factor else sketched_metric(found)


def pullback_metrics(
    decode: Decoder,
    z: Float[np.ndarray, "n d"],
    *,
    plan: Plan = MEASURED,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n d d"]:
    """`pullback_metric` at n latents.

    Args:
        decode: Takes one latent (d,) to one image of any shape.
        z: Latents (n, d).
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the latents done.

    Returns:
        (n, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, or a decoder that has no metric there.
    """
    z = check_points("latents", z)
    return _checked_run(ExactMetric(), decode, z, plan=plan, progress=progress)


def token_metrics(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    probes: int | None = None,
    seed: int = 0,
    plan: Plan = MEASURED,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n h w d d"]:
    """`grid_metric` of n grids: the metric of every token in its own context, or an unbiased estimate of it.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape.
        grids: Latents (n, h, w, d).
        probes: Random probes r of a sketch SᵀS, which is all zeros but for rank r; None computes the metrics exactly.
        seed: Of the probes. All grids have the same ones, so a grid's metrics do not depend on its batch.
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the grids done.

    Returns:
        (n, h, w, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, fewer than one probe, or a decoder that has no metric there.
    """
    grids = check_grids(grids)
    if probes is None:
        return _checked_run(ExactMetric(), decode, grids, plan=plan, progress=progress)
    kernel, keys = Sketch(_check_probes(probes), factor=False), _probe_keys(seed, np.zeros(len(grids), np.uint32))
    return _checked_run(kernel, decode, grids, keys, plan=plan, progress=progress)


def token_sketches(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    probes: int,
    seed: int = 0,
    plan: Plan = MEASURED,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n r td"]:
    """Sketches S = ΩJ of the whole Jacobian of n grids, by the same probes as `token_metrics`.

    ‖SΔ‖² estimates the squared change of the image by a step Δ of all tokens at once, to first order; the columns of one token
    give its metric.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape.
        grids: Latents (n, h, w, d).
        probes: Random probes r.
        seed: Of the probes.
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the grids done.

    Returns:
        (n, r, t·d), on the host, in intensity; tokens in raster order.

    Raises:
        InputError: As `token_metrics`.
    """
    grids, decode = check_grids(grids), as_partial(decode)
    check_decoder(decode, grids)
    keys = _probe_keys(seed, np.zeros(len(grids), np.uint32))
    found = run(Sketch(_check_probes(probes), factor=True), decode, grids, keys, plan=plan, progress=progress)
    factors = found.reshape(len(grids), probes, -1)
    check_derivatives(decode, grids, factors)
    return factors


class MeanMetrics(NamedTuple):
    """Mean metrics of tokens, intensity²."""

    overall: Float[np.ndarray, "d d"]
    """Over all tokens: the metric of `whitened` assignment."""
    by_position: Float[np.ndarray, "h w d d"]
    """Over the tokens at each position of the grid."""


def mean_metrics(
    decode: Decoder,
    grids: Float[np.ndarray, "n h w d"],
    *,
    probes: int | None = None,
    seed: int = 0,
    plan: Plan = MEASURED,
    progress: Progress | None = None,
) -> MeanMetrics:
    """Means of the tokens' metrics over n grids, without keeping the metrics.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape.
        grids: Latents (n, h, w, d).
        probes: Random probes r; None computes the metrics exactly. Here every grid has its own probes, so that their errors
            average out: a few are enough.
        seed: Of the probes.
        plan: How much at once and on which devices; by default what was measured to be fastest, where there is much to do.
        progress: Called after every chunk with the grids done.

    Returns:
        The means, summed in float64.

    Raises:
        InputError: As `token_metrics`.
    """
    grids, decode = check_grids(grids), as_partial(decode)
    check_decoder(decode, grids)
    kernel: Kernel = ExactMetric()
    rows: tuple[np.ndarray, ...] = (grids,)
    if probes is not None:
        kernel = Sketch(_check_probes(probes), factor=False)
        rows = grids, _probe_keys(seed, np.arange(len(grids), dtype=np.uint32))
    by_position = run_summed(kernel, decode, *rows, plan=plan, progress=progress) / len(grids)
    check_derivatives(decode, grids, by_position)
    by_position = by_position.astype(grids.dtype)
    return MeanMetrics(by_position.mean(axis=(0, 1)), by_position)


def check_grids(grids: Float[np.ndarray, "n h w d"]) -> Float[np.ndarray, "n h w d"]:
    """Grids of latents as a finite float array.

    Raises:
        InputError: Another rank, an empty set, NaN or infinity.
    """
    grids = np.asarray(grids)
    if grids.ndim != 4 or grids.size == 0:
        raise InputError(f"latents: expected non-empty grids (n, h, w, d), found shape {grids.shape}; add the axes.")
    return check_points("latents", grids.reshape(len(grids), -1)).reshape(grids.shape)


def _checked_run(
    kernel: Kernel, decode: Decoder, latents: np.ndarray, *rows: np.ndarray, plan: Plan, progress: Progress | None
) -> np.ndarray:
    decode = as_partial(decode)
    check_decoder(decode, latents)
    metrics = run(kernel, decode, latents, *rows, plan=plan, progress=progress)
    check_derivatives(decode, latents, metrics)
    return metrics


def _check_probes(probes: int) -> int:
    if probes < 1:
        raise InputError(f"probes: expected at least 1, found {probes}; take None for exact metrics.")
    return probes


def _probe_keys(seed: int, draws: Int[np.ndarray, " n"]) -> np.ndarray:
    """Keys of probes as plain arrays: equal draws have equal probes."""
    different, of_row = np.unique(draws, return_inverse=True)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), different)
    return np.asarray(jax.random.key_data(keys))[of_row]
