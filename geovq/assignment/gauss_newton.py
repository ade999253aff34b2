"""The tokens of an image together, by Gauss-Newton steps over codes: what `Joint` and `Amortised` share.

The squared error of the image is linearised, first at the encoder's latents and then at the quantized ones; coordinate descent
over the tokens lowers it. A `Curvature` says where JᵀJ comes from: those in `geovq.assignment.curvature` compute it, those in
`geovq.assignment.amortised` look it up. On each linearisation a few steps can follow that keep JᵀJ and compute only the gradient
anew (the chord method). Each step tries a few dampings and takes the one with the best image if that is better than before, so
that the true error never rises. Where codes have costs, the sum of the error and the costs takes its place.
"""

import abc
import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.banded import Banded
from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.dense import Dense
from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.assignment.patchwork import add_patchwork
from geovq.assignment.perceptual import ImageAssigner, images_of
from geovq.assignment.problem import CostMemory, Problem, Target, candidate_costs, cost_gradient
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import Call, run_program
from geovq.decoder.adapters import AnyArray, Decoder
from geovq.numerics.additive import sum_codes

_SWEEPS = 4
"""Sweeps of the coordinate descent in a step."""


class Assigned(NamedTuple):
    """Tokens of n images, and how well they do."""

    tokens: Int[np.ndarray, "n h w S"]
    costs: Float[np.ndarray, " n"]
    """What every image costs, intensity²: its squared error, its distance if the assigner has one, and its codes' costs."""


class Place(NamedTuple):
    """Where JᵀJ of an image is wanted."""

    latents: Float[Array, "h w d"]
    """The encoder's."""
    origin: Float[Array, "h w d"]
    """Latents around which the error is linearised."""
    number: Int[AnyArray, ""]
    """Of the linearisation, 0 for the first."""


class LinearisedError(NamedTuple):
    """The error of an image after a step Δ from the origin, up to a constant: gradientᵀΔ + ΔᵀJᵀJΔ, intensity²."""

    origin: Float[Array, "h w d"]
    gradient: Float[Array, "t d"]
    """−2 Jᵀr: exact, whatever JᵀJ leaves out."""
    curvature: Dense | Banded
    """JᵀJ."""


class Curvature(abc.ABC):
    """Kernel: JᵀJ of an image. Subclasses are frozen dataclasses."""

    is_local: ClassVar[bool] = False
    """Whether it is that of neighbours alone: then each part of an image can take a step of its own."""

    @abc.abstractmethod
    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder at once, for a latent of this shape, whose memory a row takes."""

    @abc.abstractmethod
    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """Bytes of a row, see `geovq.batching.run.Sized`."""

    @abc.abstractmethod
    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Dense | Banded:
        """Of one image."""


@dataclasses.dataclass(frozen=True)
class GaussNewton:
    """Program: the tokens of images, by a few linearisations with a few steps on each."""

    curvature: Curvature
    linearisations: int
    corrections: int
    dampings: tuple[float, ...]
    costs: CostMemory

    def passes(self, shape: tuple[int, ...]) -> int:
        """As many as the curvature takes, or the trials and a gradient, which costs about three."""
        return max(self.curvature.passes(shape), len(self.dampings) + 3)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The curvature and, beside it, the distance of images and what every code costs in each trial."""
        row, (table, distance) = self.curvature.memory(decoder, shape), self.costs
        # On a band a set of tokens chooses at a time, which takes about one table for all trials.
        tables = 2 if self.curvature.is_local else 2 + len(self.dampings)
        each = max(row.each, decoder.forward + distance)
        return row._replace(held=row.held + distance + tables * table, each=each)

    def __call__(
        self,
        call: Call,
        problem: Problem,
        latents: Float[Array, "n h w d"],
        tokens: Int[Array, "n h w S"],
        *target: Array,
    ) -> tuple[Int[Array, "n h w S"], Float[Array, " n"]]:
        """Tokens and what they cost; NaN where a derivative is not finite."""
        best, origins, step = tokens, latents, Step(self.dampings, self.curvature.is_local)
        costs = call(TokenCost(), problem, tokens, *target)
        for number in range(self.linearisations):
            places = Place(latents, origins, np.full(len(latents), number, np.int32))
            curvatures = call(self.curvature, problem, places)
            for _ in range(1 + self.corrections):
                gradients = call(Gradient(), problem, origins, target[0])
                errors = LinearisedError(origins, gradients, curvatures)
                best, costs, origins = call(step, problem, errors, best, costs, Target(*target))
        return best, costs


@dataclasses.dataclass(frozen=True)
class TokenCost:
    """Kernel: what the tokens of an image cost."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """One decode."""
        return 1

    def __call__(self, problem: Problem, tokens: Int[Array, "h w S"], *target: Array, at_once: int) -> Float[Array, ""]:
        """In intensity²."""
        return candidate_costs(problem, tokens[None], Target(*target))[0]


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Kernel: the gradient of an image's cost at a grid of latents."""

    def __call__(
        self, problem: Problem, origin: Float[Array, "h w d"], image: Float[Array, "H W C"], *, at_once: int
    ) -> Float[Array, "t d"]:
        """As `cost_gradient`."""
        return cost_gradient(problem, origin, image)


@dataclasses.dataclass(frozen=True)
class Step:
    """Kernel: the tokens after a step on the linearised error, and what they truly cost, which never rises."""

    dampings: tuple[float, ...]
    """Weights of the mean metric that are tried; the one that costs least is taken."""
    patchwork: bool
    """Whether each part of the image may take the damping that is best there."""

    def __call__(
        self,
        problem: Problem,
        error: LinearisedError,
        tokens: Int[Array, "h w S"],
        cost: Float[Array, ""],
        target: Target,
        *,
        at_once: int,
    ) -> tuple[Int[Array, "h w S"], Float[Array, ""], Float[Array, "h w d"]]:
        """The tokens, their cost, which is NaN where the linearised error is not finite, and their latents."""
        flat = tokens.reshape(-1, tokens.shape[-1])
        move = sum_codes(problem.codes, flat) - error.origin.reshape(len(flat), -1)

        def trial(damping: Array) -> Array:
            """Steps stay where the linearisation holds (Levenberg 1944, Marquardt 1963)."""
            own = damping * problem.metrics
            own = own if problem.residual is None else problem.residual + own
            return error.curvature.descend(
                error.gradient, own, problem.codes, flat, move, sweeps=_SWEEPS, code_costs=target.code_costs
            )

        dampings = jnp.asarray(self.dampings, error.origin.dtype)
        trials = jax.vmap(trial)(dampings).reshape(-1, *tokens.shape)
        if self.patchwork:
            trials, found = add_patchwork(problem, trials, tokens, target, at_once=at_once)
        else:
            found = candidate_costs(problem, trials, target, at_once=at_once)
        least = jnp.argmin(found)
        finite = jnp.stack([jnp.isfinite(part).all() for part in jax.tree.leaves(error)]).all()
        lower = jnp.where(finite, jnp.minimum(found[least], cost), jnp.nan)
        best = jnp.where(found[least] < cost, trials[least], tokens)
        return best, lower, sum_codes(problem.codes, best)


class GaussNewtonAssigner(ImageAssigner):
    """An assigner that takes Gauss-Newton steps; what differs is where the curvature comes from."""

    takes_code_costs: ClassVar[bool] = True

    @abc.abstractmethod
    def program_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """What is computed for an image, and what all images share.

        Args:
            decode: Takes one grid (h, w, d) to one image (H, W, C).
            codebook: Codes and mean metrics.
            latents: What the encoder made of the images.

        Raises:
            InputError: A decoder that has no derivatives.
        """

    def __call__(
        self,
        decode: Partial,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens, see `Assigner`; no image's error is above that of its start."""
        return self.solve(decode, codebook, inputs, plan=plan, progress=progress).tokens

    def solve(
        self,
        decode: Decoder,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Assigned:
        """Tokens and what every image costs, from `inputs.start` or else from the nearest codes under the mean metric.

        Args:
            decode: Takes one grid (h, w, d) to one image (H, W, C).
            codebook: Codes and mean metrics.
            inputs: Latents and images.
            plan: How much at once and on which devices.
            progress: Called after every chunk with the images done.

        Returns:
            The tokens (n, h, w, S); no image costs more than at the start.

        Raises:
            InputError: Images that are missing, or results that are not finite.
        """
        latents, images = np.asarray(inputs.latents, np.float32), images_of(inputs)
        program, problem = self.program_and_problem(decode, codebook, inputs.latents)
        start = whitened_tokens(latents, codebook) if inputs.start is None else inputs.start
        rows: list[np.ndarray] = [latents, np.asarray(start, np.int32), images]
        if inputs.code_costs is not None:
            n, h, w = inputs.code_costs.shape[:3]
            rows.append(np.asarray(inputs.code_costs, np.float32).reshape(n, h * w, *codebook.codes.shape[:2]))
        return Assigned(*run_program(program, problem, *rows, plan=plan, progress=progress))


def whitened_tokens(latents: Float[np.ndarray, "n h w d"], codebook: Codebook) -> Int[np.ndarray, "n h w S"]:
    """Nearest codes under the mean metric."""
    n, h, w, d = latents.shape
    return nearest_tokens_whitened(latents.reshape(-1, d), codebook.codes, codebook.mean_metric).reshape(n, h, w, -1)
