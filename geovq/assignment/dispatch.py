"""Any assignment by its name: what each needs is computed here, where it is not at hand."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.amortised import assign_amortised
from geovq.assignment.clusters import Kinds
from geovq.assignment.greedy import assign_decoded
from geovq.assignment.joint import assign_joint
from geovq.assignment.nearest import (
    assign_euclidean,
    assign_geodesic,
    assign_local,
    assign_whitened,
    assign_whitened_position,
)
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import single
from geovq.geometry.placed_codes import CodeField
from geovq.metric.batched import token_metrics
from geovq.validation import InputError

ASSIGNMENTS = ("euclidean", "whitened", "whitened-position", "local", "geodesic", "amortised", "joint", "decoded")

TAKES_PRICES = ("amortised", "joint")
"""Assignments that can weigh the image's error against what tokens cost beside it."""

NEEDS_METRICS = ("local", "geodesic")
"""Assignments that need the metric of every token."""

NEEDS_IMAGES = ("amortised", "joint", "decoded")
"""Assignments that need the image as well as its latents."""


class Codebook(NamedTuple):
    """Codes with the statistics of the data that assignments use."""

    codes: Float[np.ndarray, "..."]
    """(K, d), or stages (S, K, d) of which a token gets one code each."""
    position_metrics: Float[np.ndarray, "h w d d"]
    """Mean of JᵀJ over the data at each position of the grid, intensity²."""
    field: CodeField | None = None
    """The codes in the measured graph, which `geodesic` needs."""
    kinds: Kinds | None = None
    """Kinds of images and the mean JᵀJ of each, which `amortised` needs."""

    @property
    def mean_metric(self) -> Float[np.ndarray, "d d"]:
        """Mean of JᵀJ over all positions: what `whitened` uses."""
        return self.position_metrics.mean(axis=(0, 1))

    @property
    def k(self) -> int:
        """Number of codes, of each stage."""
        return self.codes.shape[-2]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return self.position_metrics.shape[:2]

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Shape of the tokens of an image: (h, w), or (h, w, S) where tokens have several codes."""
        return self.grid + self.codes.shape[:-2]


def check_name(name: str, stages: int) -> None:
    """Refuses an assignment that is unknown, or that tokens of so many codes cannot have.

    Raises:
        InputError: Which, and what to do.
    """
    if name not in ASSIGNMENTS:
        raise InputError(f"assign: expected one of {', '.join(ASSIGNMENTS)}, found {name!r}; choose one of them.")
    if name == "geodesic" and stages > 1:
        raise InputError("assign: geodesic expects one code for a token, found stages; choose another assignment.")


def check_assignment(name: str, codebook: Codebook) -> None:
    """`check_name`, and an assignment whose statistics are missing is refused.

    Raises:
        InputError: Which, and what to do.
    """
    check_name(name, np.ndim(codebook.codes) - 1)
    if name == "geodesic" and codebook.field is None:
        raise InputError("assign: geodesic expects codes placed in a graph, found none; fit with assign='geodesic'.")
    if name == "amortised" and codebook.kinds is None:
        raise InputError(
            "assign: amortised expects kinds of images, found none; make it by Tokenizer.amortised(images)."
        )


def assign(
    name: str,
    decode: Callable,
    codebook: Codebook,
    latents: Float[np.ndarray, "n h w d"],
    images: Float[np.ndarray, "n H W C"] | None = None,
    *,
    metrics: Float[np.ndarray, "n h w d d"] | None = None,
    start: Int[np.ndarray, "n h w"] | None = None,
    prices: Float[np.ndarray, "n h w K"] | None = None,
    probes: int | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n h w"]:
    """Tokens of latents.

    Args:
        name: One of ASSIGNMENTS, which `check_assignment` accepts for these codes.
        decode: Decoder of batches.
        codebook: Codes and statistics.
        latents: (n, h, w, d).
        images: In [0, 1]; needed by NEEDS_IMAGES.
        metrics: Metrics of the tokens, where they are at hand; computed if the assignment needs them.
        start: Tokens from which NEEDS_IMAGES go on; those of `whitened` if none are given.
        prices: For TAKES_PRICES: what every code of every token costs beside its image's squared error, intensity².
        probes: Products that a Jacobian is sketched by: with random probes where metrics are needed, along the leading
            directions of the latents where images are; None for exact ones.
        plan: How much at once and on which devices, where the decoder is run.
        progress: Called with the images done.

    Returns:
        int32 (n, h, w), or (n, h, w, S) where codes have stages.

    Raises:
        InputError: Images that are needed and missing, or a decoder without derivatives.
    """
    codes, d = codebook.codes, latents.shape[-1]
    flat = latents.reshape(-1, d)
    shape = latents.shape[:3] + np.shape(codes)[: np.ndim(codes) - 2]
    if name in NEEDS_METRICS:
        if metrics is None:
            metrics = token_metrics(single(decode), latents, probes=probes, plan=plan, progress=progress)
        flat_metrics = metrics.reshape(-1, d, d)
        if name == "geodesic" and codebook.field is not None:
            return assign_geodesic(flat, flat_metrics, codebook.field).reshape(shape)
        return assign_local(flat, codes, flat_metrics).reshape(shape)
    if name in NEEDS_IMAGES:
        if images is None:
            raise InputError(
                f"images: expected those that the latents are of, found none; {name} assignment looks at them."
            )
        if start is None:
            start = assign_whitened(flat, codes, codebook.mean_metric).reshape(shape)
        measured = codebook.position_metrics
        if name == "amortised" and codebook.kinds is not None:
            return assign_amortised(
                single(decode),
                images,
                latents,
                start,
                codes,
                measured,
                codebook.kinds,
                prices=prices,
                plan=plan,
                progress=progress,
            ).tokens
        last = name == "joint"
        found = assign_joint(
            single(decode),
            images,
            latents,
            start,
            codes,
            measured,
            directions=probes,
            prices=prices,
            plan=plan,
            progress=progress if last else None,
        ).tokens
        if last:
            return found
        return assign_decoded(single(decode), images, found, codes, measured, plan=plan, progress=progress)
    if progress is not None:
        progress(len(latents))
    if name == "whitened-position":
        return assign_whitened_position(latents, codes, codebook.position_metrics)
    if name == "whitened":
        return assign_whitened(flat, codes, codebook.mean_metric).reshape(shape)
    return assign_euclidean(flat, codes).reshape(shape)
