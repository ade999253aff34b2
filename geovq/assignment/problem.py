"""What assigners that look at the image make small: the error of the decoded image, and what codes cost beside it."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.base import Codebook
from geovq.batching.memory import function_memory
from geovq.decoder.adapters import AnyArray, Decoder, as_partial
from geovq.decoder.checks import check_decoder, image_of
from geovq.numerics.additive import sum_codes


class Problem(NamedTuple):
    """What all images share."""

    decode: Partial
    codes: Float[Array, "S K d"]
    metrics: Float[Array, "t d d"]
    """Mean metric of each position, for damping."""
    statistics: Any = None
    """Arrays that the curvature needs: directions, clusters of images, or stencils."""
    residual: Float[Array, "t d d"] | None = None
    """Mean metric of what the curvature leaves out at each position, intensity²; None if that is nothing."""
    distance: Partial | None = None
    """Takes a decoded image and the target, both (H, W, C), to what is added to their squared error, intensity²."""


class Target(NamedTuple):
    """What the tokens of one image are for."""

    image: Float[Array, "H W C"]
    code_costs: Float[Array, "t S K"] | None = None


class CostMemory(NamedTuple):
    """Bytes that the costs of one image take beside the decoder."""

    table: int
    """Of a number for every code of every token."""
    distance: int
    """Of the distance of two images with its gradient, beside its parameters."""


def as_problem(
    decode: Decoder,
    latents: Float[np.ndarray, "n h w d"],
    codebook: Codebook,
    *,
    statistics: Any = None,
    residual: Float[AnyArray, "t d d"] | None = None,
    distance: Partial | None = None,
) -> Problem:
    """What all images share, once the decoder is known to have derivatives.

    Raises:
        InputError: A decoder that has none.
    """
    partial = as_partial(decode)
    check_decoder(partial, np.asarray(latents, np.float32))
    d = latents.shape[-1]
    metrics = np.asarray(codebook.metrics_on(latents.shape[1:3]), np.float32).reshape(-1, d, d)
    put = functools.partial(jax.tree.map, jnp.asarray)
    return Problem(partial, put(codebook.codes), put(metrics), put(statistics), put(residual), distance)


def cost_memory(problem: Problem, shape: tuple[int, ...]) -> CostMemory:
    """What the costs of one image take for latents (h, w, d)."""
    count, k, _ = problem.codes.shape
    table = 4 * math.prod(shape[:-1]) * count * k
    if problem.distance is None:
        return CostMemory(table, 0)
    image = image_of(problem.decode, shape)
    found = function_memory(Partial(_distance_gradient, problem.distance), image.shape, image.dtype)
    return CostMemory(table, 0 if found is None else found.each)


def _distance_gradient(distance: Callable, image: Float[Array, "H W C"]) -> Any:
    return jax.value_and_grad(distance)(image, image)


def image_cost(problem: Problem, decoded: Float[Array, "H W C"], image: Float[Array, "H W C"]) -> Float[Array, ""]:
    """Squared error of a decoded image, and its distance to the target if the problem has one."""
    squared = jnp.sum((decoded - image) ** 2)
    return squared if problem.distance is None else squared + problem.distance(decoded, image)


def cost_gradient(problem: Problem, grid: Float[Array, "h w d"], image: Float[Array, "H W C"]) -> Float[Array, "t d"]:
    """Gradient of the image's cost at a grid of latents, by one reverse-mode product: −2 Jᵀr, and that of the distance."""
    gradient = jax.grad(lambda z: image_cost(problem, problem.decode(z), image))(grid)
    return gradient.reshape(-1, grid.shape[-1])


def candidate_costs(
    problem: Problem, candidates: Int[Array, "c h w S"], target: Target, *, at_once: int | None = None
) -> Float[Array, " c"]:
    """What several grids of tokens cost for one image: their image's cost, and the costs of their codes.

    Args:
        problem: What all images share.
        candidates: The grids.
        target: The image, and the costs of codes.
        at_once: Grids that are decoded at once; bounds the memory. None decodes all.
    """

    def cost_of(tokens: Int[Array, "h w S"]) -> Float[Array, ""]:
        return image_cost(problem, problem.decode(sum_codes(problem.codes, tokens)), target.image)

    return map_candidates(cost_of, candidates, at_once) + costs_of_codes(candidates, target)


def map_candidates(function: Callable, candidates: Int[Array, "c h w S"], at_once: int | None) -> Any:
    """A function of one grid of tokens at all of them, so many at once."""
    whole = at_once is None or at_once >= len(candidates)
    return jax.vmap(function)(candidates) if whole else jax.lax.map(function, candidates, batch_size=at_once)


def costs_of_codes(candidates: Int[Array, "c h w S"], target: Target) -> Float[Array, " c"]:
    """What the codes of several grids of tokens cost beside the image; 0 where nothing is said of it."""
    if target.code_costs is None:
        return jnp.zeros(len(candidates), target.image.dtype)
    t, count, _ = target.code_costs.shape
    chosen = jnp.take_along_axis(target.code_costs[None], candidates.reshape(-1, t, count, 1), axis=3)
    return chosen.sum(axis=(1, 2, 3))
