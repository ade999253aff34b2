"""Codes moved to where decoded images come out right: joint assignment and metric means, in turn, from any codebook.

With the tokens of some images fixed, the error of these images is linearised at their codes, and one step δ of all codes together
makes Σ ‖r − JPδ‖² + λ Σ (Pδ)ᵀḠ(Pδ) small, P telling which code each token is: the Gauss-Newton step of least squares. Where
tokens did not act together this would be the metric mean (ΣG)⁻¹ΣGz of every cell; since they do, the normal equations are solved
by conjugate gradients (Hestenes & Stiefel 1952).
"""

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jaxtyping import Array, Float, Int

from geovq.assignment.joint import Problem, as_problem, assign_joint, squared_errors
from geovq.assignment.nearest import assign_whitened
from geovq.assignment.quadratic import exact_quadratic
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, run
from geovq.decoder.adapters import Decoder
from geovq.numerics.additive import as_quantizers, sum_codes

_DAMPING = 0.3
"""Weight λ of the mean metric."""

_NUMBERS = 1 << 29
"""Numbers of all JᵀJ that are kept at most (2 GiB); more images are left out."""

_STEPS = (1.0, 0.5, 0.25)
"""Parts of a step that are tried; the one with the least true error is taken."""


class Refined(NamedTuple):
    """Codes and how the rounds went."""

    codes: Float[np.ndarray, "..."]
    errors: list[float]
    """Mean ‖D(Ẑ) − x‖² of the images with joint tokens, intensity²: at the start and after each round that was kept."""
    converged: bool
    """Whether the last round brought less than the tolerance; else rounds ran out."""


@dataclasses.dataclass(frozen=True)
class _Normal:
    """JᵀJ and Jᵀr of an image at its codes."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every number of the grid."""
        return math.prod(shape)

    def __call__(
        self, problem: Problem, origin: Float[Array, "h w d"], image: Float[Array, "H W C"], *, at_once: int
    ) -> tuple[Array, Array]:
        """(t·d, t·d) and (t·d,)."""
        found = exact_quadratic(problem.decode, origin, image, tokens=max(1, at_once // origin.shape[-1]))
        return found.gram.reshape(origin.size, origin.size), found.pull.reshape(-1)


@dataclasses.dataclass(frozen=True)
class _Error:
    """The squared error of an image's tokens."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """One decode."""
        return 1

    def __call__(self, problem: Problem, tokens: Int[Array, "h w S"], image: Array, *, at_once: int) -> Array:
        """()."""
        return squared_errors(problem, tokens[None], image)[0]


def refine_codes(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    codes: Float[np.ndarray, "..."],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    rounds: int = 3,
    tolerance: float = 0.01,
    progress: Progress | None = None,
) -> Refined:
    """Codes that reconstruct images better under joint assignment.

    Args:
        decode: Takes one grid to one image.
        images: Training images in [0, 1]. A thousand are enough for 512 codes; their JᵀJ are kept in memory, 2 GiB at
            most: of grids with many latents fewer images are used, 8,192 for 256 numbers a grid, 512 for 1,024.
        latents: What the encoder made of them.
        codes: Where it starts: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position (h, w, d, d).
        rounds: At most; each takes two Jacobians an image.
        tolerance: Part of the error that a round has to take away for another to follow.
        progress: Called with the images done, up to `rounds` + 1 times over.

    Returns:
        The codes, of the shape of those given. A code that no token became is put where an image is worst, and a round that makes
        the error of these images larger is not kept.

    Raises:
        InputError: A decoder that has no derivatives.
    """
    stages = as_quantizers(codes).copy()
    d = stages.shape[-1]
    keep = max(1, _NUMBERS // latents[0].size ** 2)
    images, latents = images[:keep], latents[:keep]
    mean_metric = position_metrics.reshape(-1, d, d).mean(axis=0)
    tokens = assign_whitened(latents.reshape(-1, d), stages, mean_metric).reshape(*latents.shape[:3], -1)
    errors: list[float] = []
    best, converged = stages, False
    for number in range(rounds + 1):
        found = assign_joint(decode, images, latents, tokens, stages, position_metrics, jacobians=1, plan=DEFAULT_PLAN)
        error = float(found.costs.mean())
        if progress is not None:
            progress(len(images))
        gained = not errors or error < (1 - tolerance) * errors[-1]
        if not errors or error < errors[-1]:
            best, tokens = stages, found.tokens
            errors.append(error)
        if not gained:
            converged = True
            break
        if number < rounds:
            moved = _with_unused_moved(stages, latents, tokens, found.costs)
            stages = _stepped(as_problem(decode, latents, moved, position_metrics), images, tokens)
    return Refined(best[0] if np.ndim(codes) == 2 else best, errors, converged)


def _with_unused_moved(
    stages: Float[np.ndarray, "S K d"],
    latents: Float[np.ndarray, "n h w d"],
    tokens: Int[np.ndarray, "n h w S"],
    errors: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "S K d"]:
    """Codes of which those that no token became are latents out of the images with the greatest errors, the farthest of each."""
    stages = stages.copy()
    t, d = tokens[0, ..., 0].size, latents.shape[-1]
    rest = (latents - sum_codes(stages, tokens)).reshape(-1, t, d)
    farthest = np.argmax((rest**2).sum(axis=-1), axis=1)
    worst = np.argsort(-errors, kind="stable")
    for s, codes in enumerate(stages):
        unused = np.flatnonzero(np.bincount(tokens[..., s].ravel(), minlength=len(codes)) == 0)[: len(worst)]
        chosen = worst[: len(unused)]
        present = tokens.reshape(-1, t, len(stages))[chosen, farthest[chosen], s]
        codes[unused] = codes[present] + rest[chosen, farthest[chosen]]
    return stages


def _stepped(
    problem: Problem, images: Float[np.ndarray, "n H W C"], tokens: Int[np.ndarray, "n h w S"]
) -> Float[np.ndarray, "S K d"]:
    """Codes after the best of the parts of a Gauss-Newton step, for these tokens; the same codes if none is better."""
    stages, metrics = np.asarray(problem.stages), np.asarray(problem.metrics)
    origins = np.asarray(sum_codes(stages, tokens), np.float32)
    grams, pulls = run(_Normal(), problem, origins, images, plan=DEFAULT_PLAN, progress=None)
    n, (t, d) = len(images), metrics.shape[:2]
    named = [tokens[..., s].ravel() for s in range(len(stages))]

    def spread(step: np.ndarray) -> np.ndarray:
        """How far a step of the codes moves the latents of every image."""
        return sum(step[s][token] for s, token in enumerate(named)).reshape(n, t, d)

    def gathered(moves: np.ndarray) -> np.ndarray:
        """Sums over the tokens that are each code: the transpose of `spread`."""
        out = np.zeros(stages.shape)
        for s, token in enumerate(named):
            np.add.at(out[s], token, moves.reshape(-1, d))
        return out

    def normal(step: np.ndarray) -> np.ndarray:
        moves = spread(step.reshape(stages.shape)).astype(np.float32)
        pushed = np.matmul(grams, moves.reshape(n, -1, 1)).reshape(n, t, d)
        return gathered(pushed + _DAMPING * np.einsum("tij,ntj->nti", metrics, moves)).ravel()

    operator = scipy.sparse.linalg.LinearOperator((stages.size, stages.size), matvec=normal, dtype=np.float64)
    step, _ = scipy.sparse.linalg.cg(operator, gathered(pulls).ravel(), rtol=1e-2, maxiter=50)
    trials = [stages, *(np.asarray(stages + part * step.reshape(stages.shape), np.float32) for part in _STEPS)]
    errors = [
        run(
            _Error(), problem._replace(stages=jnp.asarray(codes)), tokens, images, plan=DEFAULT_PLAN, progress=None
        ).mean()
        for codes in trials
    ]
    return trials[int(np.argmin(errors))]
