"""Bits a pixel, nominal and entropy-coded, and what one curve of rate and quality saves over another."""

import numpy as np
from jaxtyping import Float, Int

from geovq.scores.tokens import unigram_nats

PIXELS = 64
"""Of a token of the published autoencoders, whose stride is 8."""


def entropy_bits(
    known: Int[np.ndarray, "m S"], tokens: Int[np.ndarray, "n S"], num_codes: int
) -> Float[np.ndarray, " S"]:
    """Bits of every code of a token for an ideal entropy coder that knows the codes' frequencies in other images.

    Args:
        known: Tokens whose frequencies the coder knows.
        tokens: Tokens that it codes.
        num_codes: K.
    """
    nats = [unigram_nats(known[:, s, None], tokens[:, s, None], num_codes) for s in range(tokens.shape[1])]
    return np.array(nats) / np.log(2)


def rate_saved(
    anchor: tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]],
    ours: tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]],
) -> float:
    """The part of the bits that a curve saves at equal quality, averaged over the qualities that both reach (Bjøntegaard 2001).

    Args:
        anchor: Rates and qualities of the curve that is compared with, by rising rate; both rise or both fall.
        ours: The same of the other one.

    Returns:
        0.25 where it takes a quarter fewer bits; NaN where the curves have no quality in common, or a quality that does not
        change with the rate in one direction.
    """
    from bjontegaard import bd_rate

    sign = 1 if anchor[1][-1] > anchor[1][0] else -1  # the package wants qualities that rise
    qualities = [sign * quality for _, quality in (anchor, ours)]
    if any((np.diff(quality) <= 0).any() for quality in qualities) or not _overlap(*qualities):
        return float("nan")
    change = bd_rate(
        anchor[0], qualities[0], ours[0], qualities[1], method="pchip", require_matching_points=False, min_overlap=0
    )
    return -float(change) / 100


def _overlap(a: Float[np.ndarray, " p"], b: Float[np.ndarray, " q"]) -> bool:
    return bool(max(a.min(), b.min()) < min(a.max(), b.max()))
