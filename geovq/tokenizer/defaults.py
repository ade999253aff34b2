"""What a tokenizer takes where nothing is asked for: whole Jacobians where they are small, random probes where they are large."""

import math
from typing import Literal

from geovq.assignment.base import Assigner
from geovq.assignment.joint import Joint
from geovq.validation import check_whole

Probes = int | Literal["auto"] | None

EXACT_SIZE = 1024
"""Numbers t·d of a grid at most whose whole Jacobian is computed where nothing else is asked for."""

EXACT_JACOBIAN = 1 << 20
"""Numbers t·d·H·W·C of that Jacobian at most for `Tokenizer.fit`, which measures many images."""

METRIC_PROBES = 16
"""Probes of an image for metrics, of which a mean over many images is taken."""

JOINT_PROBES = 256
"""Probes of an image for `Joint` on larger grids; as many directions win about as much (`benchmarks.vq_models`)."""


def default_assigner(latent_shape: tuple[int, ...]) -> Assigner:
    """`Joint`, with whole Jacobians where a grid (h, w, d) has at most 1,024 numbers, else with 256 probes."""
    return Joint() if math.prod(latent_shape) <= EXACT_SIZE else Joint(probes=JOINT_PROBES)


def choose_probes(
    probes: Probes, latent_shape: tuple[int, ...], image_shape: tuple[int, ...] | None = None
) -> int | None:
    """Probes of an image for its metrics.

    Args:
        probes: A number; None for exact metrics; "auto" for exact ones up to `EXACT_SIZE`, else `METRIC_PROBES`.
        latent_shape: (h, w, d).
        image_shape: (H, W, C), where "auto" heeds `EXACT_JACOBIAN` as well.

    Raises:
        InputError: Probes that are no whole number.
    """
    if probes == "auto":
        size = math.prod(latent_shape)
        numbers = 0 if image_shape is None else size * math.prod(image_shape)
        return None if size <= EXACT_SIZE and numbers <= EXACT_JACOBIAN else METRIC_PROBES
    if probes is not None:
        check_whole("probes", probes, remedy='take None for exact metrics, or "auto"')
    return probes
