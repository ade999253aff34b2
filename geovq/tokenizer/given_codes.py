"""Codes that were trained elsewhere: their mean metrics at a bounded cost, and an assigner that suits their grid."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

from geovq.assignment.base import Assigner, Codebook
from geovq.assignment.joint import Joint
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.run import Plan, settle
from geovq.decoder.adapters import single
from geovq.metric.batched import mean_metrics
from geovq.numerics.additive import sum_codes
from geovq.validation import check_whole

Probes = int | Literal["auto"] | None

EXACT_SIZE = 1024
"""Numbers t·d of a grid at most whose whole Jacobian is computed where nothing else is asked for."""

MEAN_PROBES = 16
"""Probes of an image for mean metrics of larger grids; over 200 images a squared length errs by 2.5% (standard deviation)."""

JOINT_PROBES = 256
"""Probes of an image for `Joint` on larger grids. As many directions win as much of a VQ-VAE, and half as much of a residual VQ
(`benchmarks.vq_models`)."""

_NUMBERS = 1 << 26
"""Numbers of metrics at once (256 MiB)."""


def default_assigner(latent_shape: tuple[int, ...]) -> Assigner:
    """`Joint`, with whole Jacobians where a grid (h, w, d) has at most 1,024 numbers, else with 256 probes."""
    return Joint() if math.prod(latent_shape) <= EXACT_SIZE else Joint(probes=JOINT_PROBES)


def measure_codes(
    decode: Callable,
    codes: Float[np.ndarray, "S K d"],
    latents: Float[np.ndarray, "n h w d"],
    *,
    probes: Probes,
    seed: int,
    plan: Plan,
    progress: Progress | None,
) -> Codebook:
    """Codes with the mean metrics of latents, at the codes that are nearest to them.

    Args:
        decode: Takes latents (n, h, w, d) to images.
        codes: The codes.
        latents: Of training images.
        probes: Of every image; None for exact metrics; "auto" for exact ones up to `EXACT_SIZE`, else `MEAN_PROBES`.
        seed: Of the probes.
        plan: How much at once and on which devices.
        progress: Called with the images done.

    Raises:
        InputError: Probes that are no whole number, or a decoder that has no metric.
    """
    d, size = latents.shape[-1], latents[0].size
    if probes == "auto":
        probes = None if size <= EXACT_SIZE else MEAN_PROBES
    if probes is not None:
        check_whole("probes", probes, remedy='take None for exact metrics, or "auto"')
        at_once = max(1, _NUMBERS // (size * d))  # images whose metrics fit in memory
        plan = plan._replace(passes=min(settle(plan).passes, at_once * probes))
    # The decoder is used at the codes, and that of a VQ-VAE has seen nothing else.
    quantized = sum_codes(codes, nearest_tokens(latents.reshape(-1, d), codes)).reshape(latents.shape)
    means = mean_metrics(single(decode), quantized, probes=probes, seed=seed, plan=plan, progress=progress)
    return Codebook(codes, means.by_position.astype(np.float32))
