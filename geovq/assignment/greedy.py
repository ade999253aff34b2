"""Candidates tried through the decoder itself: what any linearisation promises is checked on the image.

| name    | gain                                                      | cost beyond `joint`, whose tokens it starts from    |
|---------|-----------------------------------------------------------|-----------------------------------------------------|
| decoded | a code is chosen by the image that it gives, nothing else | 16 decodes and a gradient for every token and sweep |

One token after the other is tried with its most promising codes, all others staying as they are. Promising is what the gradient
of the image's error and the mean metric of the token's position say.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.assignment.joint import Problem, as_problem, squared_errors
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan, run
from geovq.decoder.adapters import Decoder
from geovq.numerics.additive import sum_codes

CANDIDATES = 16
"""Codes of a token that are decoded in a sweep, the present one among them."""

SWEEPS = 1
"""Times that every token is tried."""


@dataclasses.dataclass(frozen=True)
class DecodedStep:
    """One token of an image tried with its most promising codes."""

    candidates: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A decode for every candidate, and a gradient, which costs about three."""
        return self.candidates + 3

    def __call__(
        self, problem: Problem, tokens: Int[Array, "h w S"], image: Float[Array, "H W C"], place: Array, *, at_once: int
    ) -> tuple[Array, Array]:
        """Tokens (h, w, S) with the one at `place` (row, column, stage) chosen anew, and their squared error."""
        row, column, stage = place
        grid = sum_codes(problem.stages, tokens)
        gradient = jax.grad(lambda z: jnp.sum((problem.decode(z) - image) ** 2))(grid)
        codes = problem.stages[stage]
        present = tokens[row, column, stage]
        moves = codes - codes[present][None]
        metric = problem.metrics[row * tokens.shape[1] + column]
        promised = moves @ gradient[row, column] + jnp.sum((moves @ metric) * moves, axis=-1)
        # The present code comes first, so that of equals it stays.
        _, chosen = jax.lax.top_k(-promised.at[present].set(-jnp.inf), self.candidates)
        trials = jax.vmap(lambda code: tokens.at[row, column, stage].set(code))(chosen.astype(tokens.dtype))
        errors = squared_errors(problem, trials, image)
        best = jnp.argmin(errors)  # of NaN, if there is any, so that it is found
        return trials[best], errors[best]


def assign_decoded(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    tokens: Int[np.ndarray, "n h w"],
    codes: Float[np.ndarray, "K d"],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    candidates: int = CANDIDATES,
    sweeps: int = SWEEPS,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n h w"]:
    """Tokens of which none can be exchanged for one of its most promising codes with a better image, after enough sweeps.

    Args:
        decode: Takes one grid (h, w, d) to one image (H, W, C).
        images: The targets.
        tokens: Where it starts, best from `geovq.assignment.joint.assign_joint`: (n, h, w), or (n, h, w, S).
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position (h, w, d, d).
        candidates: Codes that are decoded for a token, the present one among them; at most K.
        sweeps: Times that every token is tried at most. An image that a sweep did not change is done.
        plan: How much at once and on which devices.
        progress: Called with the images done.

    Returns:
        The tokens, of the shape of those given, none of whose images is worse than at the start.

    Raises:
        InputError: A decoder that has no derivatives, or images that are not finite.
    """
    h, w, d = np.shape(position_metrics)[:3]
    found = np.array(tokens, np.int32).reshape(len(tokens), h, w, -1)
    problem = as_problem(decode, np.zeros((1, h, w, d), np.float32), codes, position_metrics)
    kernel = DecodedStep(min(candidates, problem.stages.shape[1]))
    active = np.arange(len(found))
    for sweep in range(sweeps):
        before = found[active]
        now = before
        for place in np.ndindex(*found.shape[1:]):
            places = np.broadcast_to(np.array(place, np.int32), (len(active), 3))
            now, _ = run(kernel, problem, now, images[active], places, plan=plan, progress=None)
        found[active] = now
        changed = (now != before).any(axis=(1, 2, 3))
        if progress is not None:
            progress(len(active) if sweep + 1 == sweeps else int((~changed).sum()))
        active = active[changed]
        if len(active) == 0:
            break
    return found.reshape(np.shape(tokens))
