"""Codes moved to where decoded images come out right: joint assignment and metric means, in turn, from any codebook.

With the tokens of some images fixed, the error of these images is linearised at their codes. One step δ of all codes together
then minimises Σ ‖r − JPδ‖² + λ Σ (Pδ)ᵀḠ(Pδ), where P says which code each token is: the Gauss-Newton step of least squares. If
tokens did not act together, the solution would be the metric mean (ΣG)⁻¹ΣGz of every cell; since they do, conjugate gradients
solve the normal equations (Hestenes & Stiefel 1952). On large grids JᵀJ is that of neighbours, see `geovq.metric.band`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jaxtyping import Array, Float, Int

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.dense import exact_gram
from geovq.assignment.gauss_newton import TokenCost, whitened_tokens
from geovq.assignment.joint import Joint
from geovq.assignment.problem import Problem, as_problem, cost_gradient
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import run
from geovq.codebook.dead_codes import revive_codes
from geovq.decoder.adapters import Decoder, as_partial
from geovq.metric.band import make_lattice, neighbour_indices, takes_band
from geovq.metric.neighbours import neighbour_metrics
from geovq.numerics.additive import sum_codes

_DAMPING = 0.3
"""Weight λ of the mean metric."""

_NUMBERS = 1 << 29
"""Numbers of all JᵀJ that are kept at most (2 GiB); more images are left out."""

_RADIUS, _SPACING = 1, 3
"""Of the band of JᵀJ on large grids."""

_STEPS = (1.0, 0.5, 0.25)
"""Parts of a step that are tried; the one with the least true error is taken."""


class Refined(NamedTuple):
    """Codes and how the rounds went."""

    codes: Float[np.ndarray, "S K d"]
    errors: list[float]
    """Mean ‖D(Ẑ) − x‖² of the images with joint tokens, intensity²: at the start and after each round that was kept."""
    converged: bool
    """Whether the last round brought less than the tolerance; else rounds ran out."""


@dataclasses.dataclass(frozen=True)
class _Moment:
    """Kernel: Jᵀr of an image at its codes."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A gradient costs about three."""
        return 3

    def __call__(
        self, problem: Problem, origin: Float[Array, "h w d"], image: Float[Array, "H W C"], *, at_once: int
    ) -> Float[Array, "t d"]:
        """Half the error's slope, downwards."""
        return -cost_gradient(problem, origin, image) / 2


@dataclasses.dataclass(frozen=True)
class _Gram:
    """Kernel: the whole JᵀJ at an image's codes."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every number of the grid."""
        return math.prod(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The whole Jacobian, JᵀJ, and one token's products at a time."""
        size = math.prod(shape)
        row = decoder.products(size * (decoder.image + 4 * size))
        return row._replace(least=shape[-1], remedy="take smaller images, or a codebook that is not refined")

    def __call__(self, problem: Problem, origin: Float[Array, "h w d"], *, at_once: int) -> Float[Array, "m m"]:
        """For m = t·d numbers."""
        gram = exact_gram(problem.decode, origin, tokens=max(1, at_once // origin.shape[-1]))
        return gram.reshape(origin.size, origin.size)


def refine_codes(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    codebook: Codebook,
    *,
    rounds: int = 3,
    tolerance: float = 0.01,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Refined:
    """Codes that reconstruct images better under joint assignment.

    Args:
        decode: Takes one grid to one image.
        images: Training images in [0, 1]. 10,000 tokens are enough for 512 codes. JᵀJ of images are kept in memory, 2 GiB at
            most, and images beyond that are left out: whole ones, (h·w·d)² numbers, where `Joint()` takes whole ones, and on
            large grids the blocks of neighbours, 9·h·w·d² numbers.
        latents: What the encoder made of them.
        codebook: Where it starts, and the mean metric of each position.
        rounds: At most; each takes two Jacobians an image.
        tolerance: Part of the error that a round has to take away for another to follow.
        plan: How much at once and on which devices.
        progress: Called with the images done, up to `rounds` + 1 times over.

    Returns:
        The codes. A code that no token became is put where an image is worst, and a round that makes the error of these images
        larger is not kept.

    Raises:
        InputError: A decoder that has no derivatives.
    """
    decode, shape = as_partial(decode), latents.shape[1:]
    numbers = 9 * latents[0].size * shape[-1] if takes_band(decode, shape) else latents[0].size ** 2
    keep = max(1, _NUMBERS // numbers)
    images, latents = images[:keep], latents[:keep]
    tokens = whitened_tokens(latents, codebook)
    errors: list[float] = []
    codes = best = codebook.codes
    converged = False
    for number in range(rounds + 1):
        trial = codebook._replace(codes=codes)
        found = Joint(jacobians=1).solve(decode, trial, Inputs(latents, images, start=tokens), plan=plan)
        error = float(found.costs.mean())
        if progress is not None:
            progress(len(images))
        gained = not errors or error < (1 - tolerance) * errors[-1]
        if not errors or error < errors[-1]:
            best, tokens = codes, found.tokens
            errors.append(error)
        if not gained:
            converged = True
            break
        if number < rounds:
            revived = _revive(codes, latents, tokens, found.costs)
            codes = _step(as_problem(decode, latents, codebook._replace(codes=revived)), images, tokens, plan)
    return Refined(best, errors, converged)


def _revive(
    codes: Float[np.ndarray, "S K d"],
    latents: Float[np.ndarray, "n h w d"],
    tokens: Int[np.ndarray, "n h w S"],
    errors: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "S K d"]:
    """Codes of which the dead ones are latents out of the images with the greatest errors, the farthest of each."""
    n, t, d = len(tokens), tokens[0, ..., 0].size, latents.shape[-1]
    residual = (latents - sum_codes(codes, tokens)).reshape(n, t, d)
    farthest = np.argmax((residual**2).sum(axis=-1), axis=1)
    everyone = np.arange(n)
    found = []
    for s, each in enumerate(codes):
        present = tokens.reshape(n, t, -1)[everyone, farthest, s]
        candidates = each[present] + residual[everyone, farthest]
        found.append(revive_codes(each, tokens[..., s], candidates, errors).codes)
    return np.stack(found)


def _step(
    problem: Problem, images: Float[np.ndarray, "n H W C"], tokens: Int[np.ndarray, "n h w S"], plan: Plan
) -> Float[np.ndarray, "S K d"]:
    """Codes after the best of the parts of a Gauss-Newton step, for these tokens; the same codes if none is better."""
    codes, metrics = np.asarray(problem.codes), np.asarray(problem.metrics)
    origins = np.asarray(sum_codes(codes, tokens), np.float32)
    push, moments = _linearise(problem, origins, images, plan)
    n, (t, d) = len(images), metrics.shape[:2]
    labels = [tokens[..., s].ravel() for s in range(len(codes))]

    def spread(step: np.ndarray) -> np.ndarray:
        """How far a step of the codes moves the latents of every image."""
        return sum(step[s][label] for s, label in enumerate(labels)).reshape(n, t, d)

    def gather(moves: np.ndarray) -> np.ndarray:
        """Sums over the tokens that are each code: the transpose of `spread`."""
        out = np.zeros(codes.shape)
        for s, label in enumerate(labels):
            np.add.at(out[s], label, moves.reshape(-1, d))
        return out

    def normal(step: np.ndarray) -> np.ndarray:
        moves = spread(step.reshape(codes.shape)).astype(np.float32)
        return gather(push(moves) + _DAMPING * np.einsum("tij,ntj->nti", metrics, moves)).ravel()

    operator = scipy.sparse.linalg.LinearOperator((codes.size, codes.size), matvec=normal, dtype=np.float64)
    step, _ = scipy.sparse.linalg.cg(operator, gather(moments).ravel(), rtol=1e-2, maxiter=50)
    shape = origins.shape[1:]
    trials = [codes, *(np.asarray(codes + part * step.reshape(codes.shape), np.float32) for part in _STEPS)]
    errors = [
        run(
            TokenCost(), problem._replace(codes=jnp.asarray(trial)), tokens, images, latent_shape=shape, plan=plan
        ).mean()
        for trial in trials
    ]
    return trials[int(np.argmin(errors))]


Moves = Float[np.ndarray, "n t d"]


def _linearise(
    problem: Problem, origins: Float[np.ndarray, "n h w d"], images: Float[np.ndarray, "n H W C"], plan: Plan
) -> tuple[Callable[[Moves], Moves], Moves]:
    """JᵀJ of all images at their codes, as a function of moves of their tokens, and Jᵀr."""
    shape = origins.shape[1:]
    moments = run(_Moment(), problem, origins, images, plan=plan)
    if not takes_band(problem.decode, shape):
        grams = run(_Gram(), problem, origins, plan=plan)
        return lambda moves: np.matmul(grams, moves.reshape(len(moves), -1, 1)).reshape(moves.shape), moments
    blocks = neighbour_metrics(problem.decode, origins, radius=_RADIUS, spacing=_SPACING, plan=plan)
    neighbours = neighbour_indices(make_lattice(shape, radius=_RADIUS, spacing=_SPACING))
    blocks = blocks.reshape(len(origins), *neighbours.shape, *blocks.shape[-2:])

    def push(moves: Moves) -> Moves:
        around = np.pad(moves, ((0, 0), (0, 1), (0, 0)))[:, neighbours]  # (n, t, b, d)
        return np.matmul(blocks, around[..., None])[..., 0].sum(axis=2)

    return push, moments
