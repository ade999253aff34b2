"""Joint assignment at a sixtieth of its cost: JᵀJ is that of the image's kind, and no Jacobian is computed.

| name      | gain                                    | cost of an image beyond the encoder                     |
|-----------|-----------------------------------------|---------------------------------------------------------|
| amortised | some three fifths of what `joint` gains | a gradient and 3 decodes; the kinds are measured before |

One step of `geovq.assignment.joint` from the encoder's latents: the gradient is the image's own, the curvature is looked up
(`geovq.assignment.clusters`). Since the best of a few dampings is taken by the image's true error, no image is worse than at
the start.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.assignment.clusters import Kinds
from geovq.assignment.joint import Assigned, Problem, Target, as_prices, as_problem, costs, stepped
from geovq.assignment.quadratic import Quadratic, pull
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan, run
from geovq.decoder.adapters import Decoder
from geovq.numerics.additive import sum_codes

STEPS = 1
"""Each takes a gradient of the image."""

DAMPINGS = (0.2, 1.0)
"""Weights λ of the mean metric that are tried in each step."""


@dataclasses.dataclass(frozen=True)
class Amortised:
    """The tokens of one image, by a few steps with the JᵀJ of its kind."""

    steps: int
    dampings: tuple[float, ...]
    numbers: int
    """Of a gram."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """Decodes at once, and a gradient, which costs about three; where a gram takes more memory than these, its share."""
        return max(len(self.dampings) + 3, self.numbers >> 14)

    def __call__(
        self,
        shared: tuple[Problem, Kinds],
        latents: Float[Array, "h w d"],
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        prices: Float[Array, "t S K"] | None = None,
        *,
        at_once: int,
    ) -> tuple[Array, Array]:
        """Tokens (h, w, S) and what they cost; NaN where a derivative is not finite."""
        problem, kinds = shared
        (t, _, d), coordinates = kinds.coordinates.shape, jnp.asarray(kinds.coordinates)
        place = jnp.einsum("qri,qi->qr", coordinates, latents.reshape(t, d), precision="highest")
        kind = jnp.argmin(jnp.sum((kinds.centres - place[None]) ** 2, axis=(1, 2)))
        target = Target(image, prices)
        best, cost = tokens, costs(problem, tokens[None], target)[0]
        origin, finite = latents, jnp.bool_(True)
        for _ in range(self.steps):
            moment = pull(problem.decode, origin, image)
            finite = finite & jnp.isfinite(moment).all()
            quadratic = Quadratic(origin.reshape(t, d), moment, coordinates, kinds.grams[kind], jnp.asarray(kinds.rest))
            best, cost = stepped(problem, quadratic, self.dampings, best, cost, target)
            origin = sum_codes(problem.stages, best)
        return best, jnp.where(finite, cost, jnp.nan)


def assign_amortised(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    tokens: Int[np.ndarray, "n h w"],
    codes: Float[np.ndarray, "K d"],
    position_metrics: Float[np.ndarray, "h w d d"],
    kinds: Kinds,
    *,
    steps: int = STEPS,
    dampings: tuple[float, ...] = DAMPINGS,
    prices: Float[np.ndarray, "n h w K"] | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Assigned:
    """Tokens whose decoded image is nearer to the image itself.

    Args:
        decode: Takes one grid (h, w, d) to one image (H, W, C).
        images: The targets.
        latents: What the encoder made of them.
        tokens: Where it starts, such as those of `geovq.assignment.nearest.assign_whitened`: (n, h, w), or (n, h, w, S).
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position, for damping.
        kinds: Of training images, by `geovq.assignment.clusters.measure_kinds` with the same decoder.
        steps: Gradients of an image, at least 1.
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
    shared = problem, jax.tree.map(jnp.asarray, kinds)
    kernel = Amortised(steps, dampings, kinds.grams[0].size)
    priced = as_prices(prices, problem, latents)
    found, least = run(kernel, shared, latents, start, images, *priced, plan=plan, progress=progress)
    return Assigned(found.reshape(np.shape(tokens)), least)
