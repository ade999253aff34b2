"""Nearest: the code whose latent is nearest. What k-means and every VQ-VAE do."""

import dataclasses

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Int

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan


@dataclasses.dataclass(frozen=True)
class Nearest(Assigner):
    """The code at the least Euclidean distance from the latent; K distances a token."""

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
        tokens = nearest_tokens(latents.reshape(-1, latents.shape[-1]), codebook.codes)
        if progress is not None:
            progress(len(latents))
        return tokens.reshape(*latents.shape[:3], -1)
