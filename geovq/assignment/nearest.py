"""Nearest: the code whose latent is nearest. What k-means and every VQ-VAE do."""

import dataclasses

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Int

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.nearest_codes import SWEEPS, nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.validation import check_whole


@dataclasses.dataclass(frozen=True)
class Nearest(Assigner):
    """The code at the least Euclidean distance from the latent; K distances a token."""

    sweeps: int = SWEEPS
    """Times that each of several codes of a token is chosen again while the others stay. With 0 they are a residual VQ's own
    tokens: every code is the nearest to the residual of the ones before."""

    def __post_init__(self) -> None:
        """Refuses a number that is not whole or is negative."""
        check_whole("sweeps", self.sweeps, 0)

    def __call__(
        self,
        decode: Partial,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens, see `Assigner`; the decoder is not run."""
        latents = inputs.latents
        flat = latents.reshape(-1, latents.shape[-1])
        tokens = nearest_tokens(flat, codebook.codes, sweeps=self.sweeps, mesh=plan.mesh)
        if progress is not None:
            progress(len(latents))
        return tokens.reshape(*latents.shape[:3], -1)
