"""The tokens of an image together, by Gauss-Newton steps over codes: what `Joint` and `Amortised` share.

The squared error of the image is linearised, first at the encoder's latents and then at the quantized ones; coordinate descent
over the tokens lowers it. A `Curvature` says where JᵀJ comes from: those in `geovq.assignment.curvature` compute it, those in
`geovq.assignment.amortised` look it up. On each linearisation a few steps can follow that keep JᵀJ and compute only the gradient
anew (the chord method). Each step tries a few dampings and takes the one with the best image if that is better than before, so
that the true error never rises. Where codes have costs, the sum of the error and the costs takes its place.
"""

import abc
import dataclasses
from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.banded import Banded
from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.assignment.patchwork import add_patchwork
from geovq.assignment.problem import Problem, Target, candidate_costs, cost_gradient
from geovq.assignment.quadratic import LinearisedError, damp, descend
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.run import DEFAULT_PLAN, Call, Plan, run_program
from geovq.decoder.adapters import AnyArray, Decoder
from geovq.numerics.additive import sum_codes
from geovq.validation import InputError

_SWEEPS = 4
"""Sweeps of the coordinate descent in a step."""


class Assigned(NamedTuple):
    """Tokens of n images, and how well they do."""

    tokens: Int[np.ndarray, "n h w S"]
    costs: Float[np.ndarray, " n"]
    """What every image costs, intensity²: its squared error, its distance if the assigner has one, and its codes' costs."""


@runtime_checkable
class Curvature(Hashable, Protocol):
    """Where the linearised errors of images come from."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder at once, for a latent of this shape, whose memory a row takes."""

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """Bytes of a row, see `geovq.batching.run.Sized`."""

    def linearise(
        self, call: Call, problem: Problem, latents: AnyArray, origins: AnyArray, images: AnyArray, number: int
    ) -> LinearisedError:
        """The errors of a chunk of images around their origins.

        Args:
            call: Runs a kernel on the chunk, see `geovq.batching.run.Call`.
            problem: What all images share.
            latents: The encoder's (n, h, w, d).
            origins: Where the error is linearised (n, h, w, d).
            images: (n, H, W, C).
            number: Of the linearisation, 0 for the first.
        """


class KernelCurvature:
    """A curvature that one kernel computes, of a latent, its origin, the image and the linearisation's number."""

    def linearise(
        self, call: Call, problem: Problem, latents: AnyArray, origins: AnyArray, images: AnyArray, number: int
    ) -> LinearisedError:
        """As `Curvature.linearise`."""
        kernel: Any = self  # a subclass is one
        return call(kernel, problem, latents, origins, images, np.full(len(latents), number, np.int32))


@dataclasses.dataclass(frozen=True)
class GaussNewton:
    """Program: the tokens of images, by a few linearisations with a few steps on each."""

    curvature: Curvature
    linearisations: int
    corrections: int
    dampings: tuple[float, ...]

    def passes(self, shape: tuple[int, ...]) -> int:
        """As many as the curvature takes."""
        return self.curvature.passes(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """As the curvature."""
        return self.curvature.memory(decoder, shape)

    def __call__(
        self,
        call: Call,
        problem: Problem,
        latents: Float[AnyArray, "n h w d"],
        tokens: Int[AnyArray, "n h w S"],
        *target: AnyArray,
    ) -> tuple[Int[AnyArray, "n h w S"], Float[AnyArray, " n"]]:
        """Tokens and what they cost; NaN where a derivative is not finite."""
        images, best, origins = target[0], tokens, latents
        costs = call(TokenCost(), problem, tokens, *target)
        for number in range(self.linearisations):
            errors = self.curvature.linearise(call, problem, latents, origins, images, number)
            for correction in range(1 + self.corrections):
                if correction:
                    errors = call(MoveOrigin(), problem, errors, best, images)
                best, costs = call(Step(self.dampings), problem, errors, best, costs, *target)
            origins = call(TokenLatents(), problem, best)
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
class TokenLatents:
    """Kernel: the latents of tokens, divided among devices as the tokens are."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """The decoder does not run."""
        return 1

    def __call__(self, problem: Problem, tokens: Int[Array, "h w S"], *, at_once: int) -> Float[Array, "h w d"]:
        """The sums of the tokens' codes."""
        return sum_codes(problem.codes, tokens)


@dataclasses.dataclass(frozen=True)
class MoveOrigin:
    """Kernel: the linearised error around tokens, with the exact gradient there and the curvature of before."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A gradient costs about three."""
        return 3

    def __call__(
        self,
        problem: Problem,
        error: LinearisedError,
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        *,
        at_once: int,
    ) -> LinearisedError:
        """Around the sums of the tokens' codes."""
        here = sum_codes(problem.codes, tokens)
        return error._replace(origin=here.reshape(error.origin.shape), gradient=cost_gradient(problem, here, image))


@dataclasses.dataclass(frozen=True)
class Step:
    """Kernel: the tokens after a step on the linearised error, and what they truly cost, which never rises."""

    dampings: tuple[float, ...]
    """Weights of the mean metric that are tried; the one that costs least is taken."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A decode for each damping."""
        return len(self.dampings)

    def __call__(
        self,
        problem: Problem,
        error: LinearisedError,
        tokens: Int[Array, "h w S"],
        cost: Float[Array, ""],
        *target: Array,
        at_once: int,
    ) -> tuple[Int[Array, "h w S"], Float[Array, ""]]:
        """The tokens, and their cost: NaN where the linearised error is not finite."""
        flat, aim = tokens.reshape(-1, tokens.shape[-1]), Target(*target)

        def trial(damping: Array) -> Array:
            damped = damp(error, problem.metrics, damping)
            return descend(damped, problem.codes, flat, sweeps=_SWEEPS, code_costs=aim.code_costs)

        dampings = jnp.asarray(self.dampings, error.origin.dtype)
        trials = jax.vmap(trial)(dampings).reshape(-1, *tokens.shape)
        if isinstance(error, Banded):
            trials, found = add_patchwork(problem, trials, tokens, aim, at_once=at_once)
        else:
            found = candidate_costs(problem, trials, aim, at_once=at_once)
        least = jnp.argmin(found)
        finite = error.is_finite() & jnp.isfinite(error.gradient).all()
        lower = jnp.where(finite, jnp.minimum(found[least], cost), jnp.nan)
        return jnp.where(found[least] < cost, trials[least], tokens), lower


class GaussNewtonAssigner(Assigner):
    """An assigner that takes Gauss-Newton steps; what differs is where the curvature comes from."""

    needs_images: ClassVar[bool] = True
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
        latents = np.asarray(inputs.latents, np.float32)
        if inputs.images is None:
            raise InputError(
                "images: expected those that the latents are of, found none; this assigner looks at them, so pass images=..."
            )
        program, problem = self.program_and_problem(decode, codebook, inputs.latents)
        start = whitened_tokens(latents, codebook) if inputs.start is None else inputs.start
        rows: list[np.ndarray] = [latents, np.asarray(start, np.int32), inputs.images]
        if inputs.code_costs is not None:
            n, h, w = inputs.code_costs.shape[:3]
            rows.append(np.asarray(inputs.code_costs, np.float32).reshape(n, h * w, *codebook.codes.shape[:2]))
        return Assigned(*run_program(program, problem, *rows, plan=plan, progress=progress))


def whitened_tokens(latents: Float[np.ndarray, "n h w d"], codebook: Codebook) -> Int[np.ndarray, "n h w S"]:
    """Nearest codes under the mean metric."""
    n, h, w, d = latents.shape
    return nearest_tokens_whitened(latents.reshape(-1, d), codebook.codes, codebook.mean_metric).reshape(n, h, w, -1)
