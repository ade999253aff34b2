"""Whitened: the nearest code under the mean metric of the data. What geometry gives at the speed of the encoder."""

import dataclasses

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Int

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan


@dataclasses.dataclass(frozen=True)
class Whitened(Assigner):
    """The code c that minimises (c − z)ᵀḠ(c − z) under the mean metric Ḡ of the data; K distances a token."""

    per_position: bool = False
    """Whether Ḡ is the mean at the token's position of the grid, instead of that over all positions."""

    @property
    def needs_positions(self) -> bool:
        """Whether Ḡ is that of a position."""
        return self.per_position

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
        n, h, w, d = latents.shape
        if self.per_position:
            metrics = codebook.metrics_on((h, w))
            found = [
                nearest_tokens_whitened(latents[:, i, j], codebook.codes, metrics[i, j], mesh=plan.mesh)
                for i, j in np.ndindex(h, w)
            ]
            tokens = np.stack(found, axis=1)
        else:
            flat = latents.reshape(-1, d)
            tokens = nearest_tokens_whitened(flat, codebook.codes, codebook.mean_metric, mesh=plan.mesh)
        if progress is not None:
            progress(n)
        return tokens.reshape(n, h, w, -1)
