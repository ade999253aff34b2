"""The tokens of an image together, by Gauss-Newton steps over codes: what `Joint` and `Amortised` share.

The squared error of the image is linearised, first at the encoder's latents and then at the quantized ones; coordinate descent
over the tokens lowers it. A strategy says where the curvature JᵀJ comes from: `geovq.assignment.joint` computes it,
`geovq.assignment.amortised` looks it up. On each linearisation a few steps can follow that keep JᵀJ and compute only the gradient
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

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.assignment.quadratic import LinearisedError, damp, descend, error_gradient
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan, run
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_decoder
from geovq.numerics.additive import sum_codes
from geovq.validation import InputError

_SWEEPS = 4
"""Sweeps of the coordinate descent in a step."""


class Assigned(NamedTuple):
    """Tokens of n images, and how well they do."""

    tokens: Int[np.ndarray, "n h w S"]
    costs: Float[np.ndarray, " n"]
    """‖D(Ẑ) − x‖² of every image, intensity², and the costs of its codes if they have any."""


class Problem(NamedTuple):
    """What all images share."""

    decode: Partial
    codes: Float[Array, "S K d"]
    metrics: Float[Array, "t d d"]
    """Mean metric of each position, for damping."""
    curvature: Any = None
    """Arrays that the curvature needs: directions, or clusters of images."""


class Target(NamedTuple):
    """What the tokens of one image are for."""

    image: Float[Array, "H W C"]
    code_costs: Float[Array, "t S K"] | None = None


@runtime_checkable
class Curvature(Hashable, Protocol):
    """Where the linearised error of an image comes from."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Passes through the decoder at once, for a latent of this shape, whose memory a row takes."""

    @property
    def __call__(self) -> Any:
        """(problem, latents, origin, image, number, at_once=passes) -> `LinearisedError` around the origin.

        Latents are the encoder's, and the number is that of the linearisation, 0 for the first.
        """


@dataclasses.dataclass(frozen=True)
class GaussNewton:
    """Kernel: the tokens of one image, by a few linearisations with a few steps on each."""

    curvature: Curvature
    linearisations: int
    corrections: int
    dampings: tuple[float, ...]

    def passes(self, shape: tuple[int, ...]) -> int:
        """As many as the curvature takes."""
        return self.curvature.passes(shape)

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        code_costs: Float[Array, "t S K"] | None = None,
        *,
        at_once: int,
    ) -> tuple[Int[Array, "h w S"], Float[Array, ""]]:
        """Tokens (h, w, S) and what they cost; NaN where a derivative is not finite."""
        target = Target(image, code_costs)
        best, cost = tokens, candidate_costs(problem, tokens[None], target)[0]
        origin, finite = latents, jnp.bool_(True)
        for number in range(self.linearisations):
            quadratic = self.curvature(problem, latents, origin, image, number, at_once=at_once)
            finite = finite & quadratic.is_finite()
            for correction in range(1 + self.corrections):
                if correction:
                    here = sum_codes(problem.codes, best)
                    quadratic = quadratic._replace(
                        origin=here.reshape(quadratic.origin.shape),
                        gradient=error_gradient(problem.decode, here, image),
                    )
                finite = finite & jnp.isfinite(quadratic.gradient).all()
                best, cost = gauss_newton_step(problem, quadratic, self.dampings, best, cost, target)
            origin = sum_codes(problem.codes, best)
        return best, jnp.where(finite, cost, jnp.nan)


def gauss_newton_step(
    problem: Problem,
    quadratic: LinearisedError,
    dampings: tuple[float, ...],
    tokens: Int[Array, "h w S"],
    cost: Float[Array, ""],
    target: Target,
) -> tuple[Int[Array, "h w S"], Float[Array, ""]]:
    """The tokens after a step on the linearised error, and what they truly cost, which never rises.

    Args:
        problem: What all images share.
        quadratic: The linearised error.
        dampings: Weights of the mean metric that are tried; the one that costs least is taken.
        tokens: Where the step starts.
        cost: What they cost.
        target: The image, and the costs of codes.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])

    def trial(damping: Array) -> Array:
        return descend(
            damp(quadratic, problem.metrics, damping),
            problem.codes,
            flat,
            sweeps=_SWEEPS,
            code_costs=target.code_costs,
        )

    trials = jax.vmap(trial)(jnp.asarray(dampings, quadratic.origin.dtype))
    trials = trials.reshape(-1, *tokens.shape)
    found = candidate_costs(problem, trials, target)
    least = jnp.argmin(found)
    return jnp.where(found[least] < cost, trials[least], tokens), jnp.minimum(found[least], cost)


def candidate_costs(problem: Problem, candidates: Int[Array, "c h w S"], target: Target) -> Float[Array, " c"]:
    """`squared_errors` of several grids of tokens for one image, and the costs of their codes."""
    errors = squared_errors(problem, candidates, target.image)
    if target.code_costs is None:
        return errors
    t, count, _ = target.code_costs.shape
    chosen = jnp.take_along_axis(target.code_costs[None], candidates.reshape(-1, t, count, 1), axis=3)
    return errors + chosen.sum(axis=(1, 2, 3))


def squared_errors(
    problem: Problem, candidates: Int[Array, "c h w S"], image: Float[Array, "H W C"]
) -> Float[Array, " c"]:
    """‖D(Ẑ) − x‖² of several grids of tokens for one image."""
    decoded = jax.vmap(problem.decode)(sum_codes(problem.codes, candidates))
    return jax.vmap(lambda one: jnp.sum((one - image) ** 2))(decoded)


class GaussNewtonAssigner(Assigner):
    """An assigner that takes Gauss-Newton steps; what differs is its kernel and what the curvature needs."""

    needs_images: ClassVar[bool] = True
    takes_code_costs: ClassVar[bool] = True

    @abc.abstractmethod
    def kernel_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """The kernel of one image, and what all images share.

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
        kernel, problem = self.kernel_and_problem(decode, codebook, inputs.latents)
        codes = np.asarray(problem.codes)
        start = whitened_start(latents, codes, np.asarray(problem.metrics)) if inputs.start is None else inputs.start
        rows: list[np.ndarray] = [latents, np.asarray(start, np.int32), inputs.images]
        if inputs.code_costs is not None:
            n, h, w = inputs.code_costs.shape[:3]
            rows.append(np.asarray(inputs.code_costs, np.float32).reshape(n, h * w, *codes.shape[:2]))
        return Assigned(*run(kernel, problem, *rows, plan=plan, progress=progress))


def whitened_start(
    latents: Float[np.ndarray, "n h w d"], codes: Float[np.ndarray, "S K d"], metrics: Float[np.ndarray, "t d d"]
) -> Int[np.ndarray, "n h w S"]:
    """Nearest codes under the mean of the positions' metrics."""
    n, h, w, d = latents.shape
    return nearest_tokens_whitened(latents.reshape(-1, d), codes, metrics.mean(axis=0)).reshape(n, h, w, -1)


def as_problem(
    decode: Decoder, latents: Float[np.ndarray, "n h w d"], codebook: Codebook, *, curvature: Any = None
) -> Problem:
    """What all images share, once the decoder is known to have derivatives.

    Raises:
        InputError: A decoder that has none.
    """
    partial = as_partial(decode)
    check_decoder(partial, np.asarray(latents, np.float32))
    d = latents.shape[-1]
    metrics = np.asarray(codebook.metrics_on(latents.shape[1:3]), np.float32).reshape(-1, d, d)
    return Problem(partial, jnp.asarray(codebook.codes), jnp.asarray(metrics), jax.tree.map(jnp.asarray, curvature))
