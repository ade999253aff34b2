"""Local: the nearest code under the token's own metric."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from geovq.assignment.base import Assigner, Codebook, Inputs, Passes
from geovq.assignment.nearest_codes import nearest_tokens_under
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.decoder.checks import check_decoder
from geovq.metric.band import is_large, make_lattice, takes_band
from geovq.metric.batched import token_metrics
from geovq.metric.neighbours import neighbour_metrics, response_outside
from geovq.validation import check_whole

_MOST_OUTSIDE = 0.25
"""Part of the squared response of a token at most that its window may leave out. Even responses to the tokens of a grid of 7x7
leave out half; those of a decoder as wide as TAESD leave out about a tenth."""

_AT_ONCE = 256
"""Images whose metrics are held at once, at most."""


@dataclasses.dataclass(frozen=True)
class Local(Assigner):
    """The code that changes the decoded image least to first order, (c − z)ᵀG(c − z) with the token's own metric G."""

    needs_metrics: ClassVar[bool] = True

    probes: int | None = None
    """Random probes by which metrics are sketched, r reverse-mode products an image. None for forward-mode ones: t·d for grids of
    at most 25 tokens, and for larger ones at most 25·d, of tokens so far apart that their responses hardly meet."""

    def __post_init__(self) -> None:
        """Refuses a number of probes below 1."""
        if self.probes is not None:
            check_whole("probes", self.probes)

    def __call__(
        self,
        decode: Partial,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens, see `Assigner`."""
        return assign_with_metrics(
            lambda z, metrics: nearest_tokens_under(z, codebook.codes, metrics),
            decode,
            inputs,
            probes=self.probes,
            plan=plan,
            progress=progress,
        )

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """Those of the tokens' own metrics."""
        return metric_passes(shape, self.probes)


def metric_passes(shape: tuple[int, ...], probes: int | None) -> Passes:
    """Passes that the metrics of all tokens of a grid (h, w, d) take, exact or by probes."""
    size, metrics = math.prod(shape), math.prod(shape) * shape[-1]
    if probes is None:
        h, w, d = shape
        lattice = make_lattice((h, w, d), radius=0)
        products, rows = size, 0
        if is_large(shape):
            products, rows = lattice.products, lattice.numbers(h * w) // (h * w)
        return Passes(decodes=1, tangents=products, at_once=products, jacobian_rows=rows, numbers=metrics)
    return Passes(decodes=1, cotangents=probes, at_once=probes, jacobian_rows=2 * probes, numbers=metrics)


def assign_with_metrics(
    nearest: Callable[[Float[np.ndarray, "m d"], Float[np.ndarray, "m d d"]], Int[np.ndarray, "m S"]],
    decode: Partial,
    inputs: Inputs,
    *,
    probes: int | None,
    plan: Plan,
    progress: Progress | None,
) -> Int[np.ndarray, "n h w S"]:
    """Tokens by a function of latents and their own metrics, which are computed for a few images at a time if they are missing.

    Args:
        nearest: Latents (m, d) and metrics (m, d, d) to tokens (m, S).
        decode: Takes one grid to one image.
        inputs: The latents, and their metrics where they are at hand.
        probes: As for `Local`.
        plan: How the decoder is run.
        progress: Called with the images done.
    """
    latents, d = inputs.latents, inputs.latents.shape[-1]
    found = []
    at_once = max(1, min(_AT_ONCE, settle(plan).memory // (4 * latents[0].size * d)))
    for i in range(0, len(latents), at_once):
        some = latents[i : i + at_once]
        if inputs.metrics is None:
            metrics = _measure(decode, some, probes, plan, progress)
        else:
            metrics = inputs.metrics[i : i + at_once]
            if progress is not None:
                progress(len(some))
        found.append(nearest(some.reshape(-1, d), metrics.reshape(-1, d, d)).reshape(*some.shape[:3], -1))
    return np.concatenate(found)


def _measure(
    decode: Partial, grids: Float[np.ndarray, "n h w d"], probes: int | None, plan: Plan, progress: Progress | None
) -> Float[np.ndarray, "n h w d d"]:
    """Metrics of tokens at a cost that does not grow with the grid, where it is large and responses end nearby."""
    check_decoder(decode, grids)
    near = probes is None and takes_band(decode, grids.shape[1:])
    if near and response_outside(decode, grids[0], plan=plan) <= _MOST_OUTSIDE:
        return neighbour_metrics(decode, grids, radius=0, plan=plan, progress=progress)[:, :, :, 0]
    return token_metrics(decode, grids, probes=probes, plan=plan, progress=progress)
