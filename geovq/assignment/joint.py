"""All tokens of an image assigned together: the codes whose decoded image comes out right, by Gauss-Newton steps over codes.

| name  | gain                                                             | cost of an image beyond the encoder             |
|-------|------------------------------------------------------------------|-------------------------------------------------|
| joint | what tokens change together counts, and so does the image itself | 2 Jacobians, of t·d products each or of fewer   |

The error of the image is linearised, first at the encoder's latents and then at the quantized ones, and made small over the
tokens by coordinate descent. On each linearisation a few steps follow that keep JᵀJ and take only the gradient anew, which costs
little and brings about as much as another Jacobian (the chord method). A few dampings are tried in each step; the one whose
image is best is taken if it is better than before, so the true error never rises. Where tokens have prices, the error and what
they cost together take its place.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.quadratic import Quadratic, damped, descend, exact_quadratic, projected_quadratic, pull
from geovq.assignment.subspace import Directions, leading_directions
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan, run
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_decoder
from geovq.numerics.additive import as_quantizers, sum_codes

JACOBIANS = 2
"""Linearisations of an image."""

CORRECTIONS = 3
"""Steps that keep the JᵀJ of a linearisation and take the gradient anew, at the codes that were found."""

DAMPINGS = (0.03, 0.1, 0.3, 1.0)
"""Weights λ of the mean metric that are tried on each linearisation."""

_SWEEPS = 4


class Assigned(NamedTuple):
    """Tokens of n images, and how well they do."""

    tokens: Int[np.ndarray, "n h w S"]
    costs: Float[np.ndarray, " n"]
    """‖D(Ẑ) − x‖² of every image, intensity², and the prices of its tokens if they have any."""


class Problem(NamedTuple):
    """What all images share."""

    decode: Partial
    stages: Float[Array, "S K d"]
    metrics: Float[Array, "t d d"]
    """Mean metric of each position, for damping."""
    directions: Directions | None = None
    """Along which Jacobians are taken; None for whole ones."""


class Target(NamedTuple):
    """What the tokens of one image are for."""

    image: Float[Array, "H W C"]
    prices: Float[Array, "t S K"] | None = None
    """What every code of every token costs beside the image's squared error, intensity²; None for nothing."""


@dataclasses.dataclass(frozen=True)
class Joint:
    """The tokens of one image, by a few linearisations with a few steps on each."""

    tangents: int
    """Products with a Jacobian: one for each direction, or for each number of the grid."""
    jacobians: int
    corrections: int
    dampings: tuple[float, ...]

    def passes(self, shape: tuple[int, ...]) -> int:
        """One for each tangent."""
        return self.tangents

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        prices: Float[Array, "t S K"] | None = None,
        *,
        at_once: int,
    ) -> tuple[Array, Array]:
        """Tokens (h, w, S) and what they cost; NaN where a derivative is not finite."""
        t, d, target = math.prod(latents.shape[:2]), latents.shape[2], Target(image, prices)
        best, cost = tokens, costs(problem, tokens[None], target)[0]
        origin, finite = latents, jnp.bool_(True)
        for _ in range(self.jacobians):
            if problem.directions is None:
                quadratic = exact_quadratic(problem.decode, origin, image, tokens=max(1, at_once // d))
            else:
                quadratic = projected_quadratic(problem.decode, origin, image, problem.directions, at_once=at_once)
            finite = finite & jnp.isfinite(quadratic.gram).all()
            for correction in range(1 + self.corrections):
                if correction:
                    here = sum_codes(problem.stages, best)
                    quadratic = quadratic._replace(origin=here.reshape(t, d), pull=pull(problem.decode, here, image))
                finite = finite & jnp.isfinite(quadratic.pull).all()
                best, cost = stepped(problem, quadratic, self.dampings, best, cost, target)
            origin = sum_codes(problem.stages, best)
        return best, jnp.where(finite, cost, jnp.nan)


def stepped(
    problem: Problem,
    quadratic: Quadratic,
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
        target: The image, and prices.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])

    def trial(damping: Array) -> Array:
        return descend(
            damped(quadratic, problem.metrics, damping), problem.stages, flat, sweeps=_SWEEPS, prices=target.prices
        )

    trials = jax.vmap(trial)(jnp.asarray(dampings, quadratic.origin.dtype))
    trials = trials.reshape(-1, *tokens.shape)
    found = costs(problem, trials, target)
    least = jnp.argmin(found)
    return jnp.where(found[least] < cost, trials[least], tokens), jnp.minimum(found[least], cost)


def costs(problem: Problem, candidates: Int[Array, "c h w S"], target: Target) -> Float[Array, " c"]:
    """`squared_errors` of several grids of tokens for one image, and their prices."""
    errors = squared_errors(problem, candidates, target.image)
    if target.prices is None:
        return errors
    t, count, _ = target.prices.shape
    chosen = jnp.take_along_axis(target.prices[None], candidates.reshape(-1, t, count, 1), axis=3)
    return errors + chosen.sum(axis=(1, 2, 3))


def squared_errors(
    problem: Problem, candidates: Int[Array, "c h w S"], image: Float[Array, "H W C"]
) -> Float[Array, " c"]:
    """‖D(Ẑ) − x‖² of several grids of tokens for one image."""
    decoded = jax.vmap(problem.decode)(sum_codes(problem.stages, candidates))
    return jax.vmap(lambda one: jnp.sum((one - image) ** 2))(decoded)


def assign_joint(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    tokens: Int[np.ndarray, "n h w"],
    codes: Float[np.ndarray, "K d"],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    directions: int | None = None,
    jacobians: int = JACOBIANS,
    corrections: int = CORRECTIONS,
    dampings: tuple[float, ...] = DAMPINGS,
    prices: Float[np.ndarray, "n h w K"] | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Assigned:
    """Tokens whose decoded image is near the image itself.

    Args:
        decode: Takes one grid (h, w, d) to one image (H, W, C).
        images: The targets.
        latents: What the encoder made of them, where the error is linearised first.
        tokens: Where the descent starts, such as those of `geovq.assignment.nearest.assign_whitened`: (n, h, w), or (n, h, w, S).
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position, for damping.
        directions: Jacobians are taken along so many leading directions of the latents, see `geovq.assignment.subspace`; None for
            whole ones.
        jacobians: Linearisations, at least 1.
        corrections: Steps after each linearisation that keep its JᵀJ.
        dampings: Weights of the mean metric that are tried.
        prices: What every code of every token costs beside its image's squared error, intensity², of the shape of the tokens
            with K at the end; None for nothing.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the images done.

    Returns:
        The tokens, of the shape of those given, none of whose images costs more than at the start.

    Raises:
        InputError: A decoder that has no derivatives, or images that are not finite.
    """
    latents = np.asarray(latents, np.float32)
    problem = as_problem(decode, latents, codes, position_metrics)
    start = np.asarray(tokens, np.int32).reshape(*latents.shape[:3], len(problem.stages))
    if directions is not None and directions < latents[0].size:
        problem = problem._replace(directions=leading_directions(position_metrics, as_quantizers(codes), directions))
    tangents = latents[0].size if problem.directions is None else len(problem.directions.steps)
    kernel = Joint(tangents, jacobians, corrections, dampings)
    priced = as_prices(prices, problem, latents)
    found, least = run(kernel, problem, latents, start, images, *priced, plan=plan, progress=progress)
    return Assigned(found.reshape(np.shape(tokens)), least)


def as_problem(
    decode: Decoder,
    latents: Float[np.ndarray, "n h w d"],
    codes: Float[np.ndarray, "..."],
    position_metrics: Float[np.ndarray, "h w d d"],
) -> Problem:
    """What all images share, once the decoder is known to have derivatives.

    Raises:
        InputError: A decoder that has none.
    """
    partial = as_partial(decode)
    check_decoder(partial, latents)
    d = latents.shape[-1]
    metrics = np.asarray(position_metrics, np.float32).reshape(-1, d, d)
    return Problem(partial, jnp.asarray(as_quantizers(codes)), jnp.asarray(metrics))


def as_prices(
    prices: Float[np.ndarray, "..."] | None, problem: Problem, latents: Float[np.ndarray, "n h w d"]
) -> tuple[Float[np.ndarray, "n t S K"], ...]:
    """Prices as a kernel takes them, if there are any."""
    if prices is None:
        return ()
    n, h, w, _ = latents.shape
    return (np.asarray(prices, np.float32).reshape(n, h * w, *problem.stages.shape[:2]),)
