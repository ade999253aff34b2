"""Codes that nothing is assigned to, moved to where the error is greatest."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.numerics.linalg import eigen_root

_TRIES = 10
"""Times that dead codes are moved; moving some may take the latents of others."""


class Revived(NamedTuple):
    """Codes of which none is dead, as far as there were candidates."""

    codes: Float[np.ndarray, "K d"]
    moved: Int[np.ndarray, " u"]
    """The codes that were dead and moved."""
    chosen: Int[np.ndarray, " u"]
    """The candidate that each of them became."""


def revive_codes(
    codes: Float[np.ndarray, "K d"],
    labels: Int[np.ndarray, "..."],
    candidates: Float[np.ndarray, "n d"],
    errors: Float[np.ndarray, " n"],
) -> Revived:
    """Dead codes become the candidates with the greatest errors, one each.

    Args:
        codes: (K, d).
        labels: All tokens of these codes, whatever their shape: a code that is none of them is dead.
        candidates: What dead codes may become (n, d).
        errors: By which candidates are taken, the greatest first (n,).

    Returns:
        The codes, and which of them moved where; where there are fewer candidates than dead codes, some stay dead.
    """
    dead = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(codes)) == 0)[: len(candidates)]
    chosen = np.argsort(-errors, kind="stable")[: len(dead)]
    found = codes.copy()
    found[dead] = candidates[chosen]
    return Revived(found, dead, chosen)


def revive_whitened(
    codes: Float[np.ndarray, "K d"], latents: Float[np.ndarray, "n d"], mean_metric: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "K d"]:
    """Codes each of which some latent is nearest to under the mean metric.

    Args:
        codes: (K, d).
        latents: At least K distinct ones (n, d).
        mean_metric: (d, d).

    Returns:
        The codes; a dead one has become the latent that was farthest from its own code. Where two latents cannot be told apart
        under the metric, one may stay dead.
    """
    root = eigen_root(mean_metric)
    for _ in range(_TRIES):
        tokens = nearest_tokens_whitened(latents, codes[None], mean_metric)[:, 0]
        errors = (((latents - codes[tokens]) @ root) ** 2).sum(axis=1)
        codes, moved, _ = revive_codes(codes, tokens, latents, errors)
        if len(moved) == 0:
            break
    return codes
