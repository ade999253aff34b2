"""A patchwork of trials: each part of a large image takes the step that is best there.

One damping seldom suits all parts of a photograph. Responses are local, so the trials are compared token by token, by the error
of the decoded image around it, and put together; only the whole image's true cost decides whether the patchwork is taken.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geovq.assignment.problem import Problem, Target, candidate_costs, costs_of_codes, image_cost, map_candidates
from geovq.numerics.additive import sum_codes

PATCHWORK_DECODES = 2
"""Decodes that it takes beside the trials': of the tokens as they are, and of the patchwork."""

REACH = 1
"""Rows and columns around a token whose pixels count for it."""


def token_errors(values: Float[Array, "H W C"], grid: tuple[int, int], reach: int = REACH) -> Float[Array, "h w"]:
    """Sums of the pixels around every token: of its own block, and of those at most `reach` rows and columns away."""
    h, w = grid
    height, width, _ = values.shape
    blocks = values.reshape(h, height // h, w, width // w, -1).sum(axis=(1, 3, 4))
    side = 2 * reach + 1
    return jax.lax.reduce_window(blocks, 0.0, jax.lax.add, (side, side), (1, 1), "SAME")


def local_costs(
    problem: Problem,
    candidates: Int[Array, "c h w S"],
    image: Float[Array, "H W C"],
    *,
    at_once: int | None = None,
    reach: int = REACH,
) -> tuple[Float[Array, " c"], Float[Array, "c h w"]]:
    """What several grids of tokens cost, without the costs of their codes, and what the pixels around each token make of it.

    Args:
        problem: What all images share. A distance counts around a token by its slope at the image of the first grid.
        candidates: The grids.
        image: That they are for.
        at_once: Grids that are decoded at once; None decodes all.
        reach: As for `token_errors`.
    """
    grid = candidates.shape[1], candidates.shape[2]
    first = slope = None
    if problem.distance is not None:
        first = problem.decode(sum_codes(problem.codes, candidates[0]))
        slope = jax.grad(problem.distance)(first, image)

    def score(candidate: Int[Array, "h w S"]) -> tuple[Float[Array, ""], Float[Array, "h w"]]:
        decoded = problem.decode(sum_codes(problem.codes, candidate))
        values = (decoded - image) ** 2
        if slope is not None:
            values = values + slope * (decoded - first)
        return image_cost(problem, decoded, image), token_errors(values, grid, reach)

    return map_candidates(score, candidates, at_once)


def patch(trials: Int[Array, "c h w S"], errors: Float[Array, "c h w"]) -> Int[Array, "h w S"]:
    """Every token from the trial with the least error around it, the first of equals."""
    best = jnp.argmin(errors, axis=0)
    return jnp.take_along_axis(trials, best[None, :, :, None], axis=0)[0]


def add_patchwork(
    problem: Problem, trials: Int[Array, "c h w S"], tokens: Int[Array, "h w S"], target: Target, *, at_once: int
) -> tuple[Int[Array, "c1 h w S"], Float[Array, " c1"]]:
    """The trials and their patchwork, in which some parts may stay as they are, and what each of them costs.

    Args:
        problem: What all images share.
        trials: Tokens of several steps.
        tokens: Where the steps start.
        target: The image, and the costs of codes.
        at_once: Grids that are decoded at once.
    """

    candidates = jnp.concatenate([tokens[None], trials])
    costs, errors = local_costs(problem, candidates, target.image, at_once=at_once)
    patchwork = patch(candidates, errors)[None]
    of_patchwork = candidate_costs(problem, patchwork, target)
    costs = costs + costs_of_codes(candidates, target)
    return jnp.concatenate([trials, patchwork]), jnp.concatenate([costs[1:], of_patchwork])
