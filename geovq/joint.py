"""All tokens of an image assigned together: the codes whose decoded image comes out right, by Gauss-Newton steps over codes.

| name  | gain                                                             | cost of an image beyond the encoder             |
|-------|------------------------------------------------------------------|-------------------------------------------------|
| joint | what tokens change together counts, and so does the image itself | 2 Jacobians (t·d products each), or sketches    |

The error of the image is linearised, first at the encoder's latents and then at the quantized ones, and made small over the
tokens by coordinate descent. On each linearisation a few steps follow that keep JᵀJ and take only the gradient anew, which costs
little and brings about as much as another Jacobian (the chord method). A few dampings are tried in each step; the one whose
image is best is taken if it is better than before, so the true error never rises.
"""

import dataclasses
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.additive import as_stages, summed
from geovq.chunks import Progress
from geovq.decoder_checks import check_decoder
from geovq.decoders import Decoder, as_partial
from geovq.execution import MEASURED, Plan, run
from geovq.linearised import damped, descend, exact_quadratic, pull, sketched_quadratic

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
    squared_errors: Float[np.ndarray, " n"]
    """‖D(Ẑ) − x‖² of every image, intensity²."""


class Problem(NamedTuple):
    """What all images share."""

    decode: Partial
    stages: Float[Array, "S K d"]
    metrics: Float[Array, "t d d"]
    """Mean metric of each position, for damping."""


@dataclasses.dataclass(frozen=True)
class Joint:
    """The tokens of one image, by a few linearisations with a few steps on each."""

    probes: int | None
    jacobians: int
    corrections: int
    dampings: tuple[float, ...]

    def passes(self, shape: tuple[int, ...]) -> int:
        """A tangent for every number of the grid, or a reverse pass for every probe and one for the gradient."""
        return math.prod(shape) if self.probes is None else self.probes + 1

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        seed: Array,
        *,
        at_once: int,
    ) -> tuple[Array, Array]:
        """Tokens (h, w, S) and their squared error; NaN where a derivative is not finite."""
        t, d = math.prod(latents.shape[:2]), latents.shape[2]
        key = jax.random.wrap_key_data(seed)
        dampings = jnp.asarray(self.dampings, latents.dtype)
        damp = jax.vmap(damped, in_axes=(None, None, 0))
        best, error = tokens.reshape(t, -1), squared_errors(problem, tokens[None], image)[0]
        origin, sketches, finite = latents, jnp.float32(0), jnp.bool_(True)
        for number in range(self.jacobians):
            if self.probes is None:
                quadratic = exact_quadratic(problem.decode, origin, image, tokens=max(1, at_once // d))
            else:
                drawn = sketched_quadratic(problem.decode, origin, image, self.probes, jax.random.fold_in(key, number))
                # JᵀJ changes little from the latents to the codes, so all sketches together are better than the last.
                sketches = sketches + drawn.gram
                quadratic = drawn._replace(gram=sketches / (number + 1))
            finite = finite & jnp.isfinite(quadratic.gram).all()
            for correction in range(1 + self.corrections):
                if correction:
                    here = summed(problem.stages, best).reshape(origin.shape)
                    quadratic = quadratic._replace(origin=here.reshape(t, d), pull=pull(problem.decode, here, image))
                finite = finite & jnp.isfinite(quadratic.pull).all()
                descended = partial(descend, stages=problem.stages, tokens=best, sweeps=_SWEEPS)
                trials = jax.vmap(descended)(damp(quadratic, problem.metrics, dampings))
                errors = squared_errors(problem, trials.reshape(-1, *tokens.shape), image)
                least = jnp.argmin(errors)
                best = jnp.where(errors[least] < error, trials[least], best)
                error = jnp.minimum(errors[least], error)
            origin = summed(problem.stages, best).reshape(origin.shape)
        return best.reshape(tokens.shape), jnp.where(finite, error, jnp.nan)


def squared_errors(
    problem: Problem, candidates: Int[Array, "c h w S"], image: Float[Array, "H W C"]
) -> Float[Array, " c"]:
    """‖D(Ẑ) − x‖² of several grids of tokens for one image."""
    decoded = jax.vmap(problem.decode)(summed(problem.stages, candidates))
    return jax.vmap(lambda one: jnp.sum((one - image) ** 2))(decoded)


def assign_joint(
    decode: Decoder,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    tokens: Int[np.ndarray, "n h w"],
    codes: Float[np.ndarray, "K d"],
    position_metrics: Float[np.ndarray, "h w d d"],
    *,
    probes: int | None = None,
    jacobians: int = JACOBIANS,
    corrections: int = CORRECTIONS,
    dampings: tuple[float, ...] = DAMPINGS,
    seed: int = 0,
    plan: Plan = MEASURED,
    progress: Progress | None = None,
) -> Assigned:
    """Tokens whose decoded image is near the image itself.

    Args:
        decode: Takes one grid (h, w, d) to one image (H, W, C).
        images: The targets.
        latents: What the encoder made of them, where the error is linearised first.
        tokens: Where the descent starts, such as those of `geovq.assign.assign_whitened`: (n, h, w), or (n, h, w, S).
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position, for damping.
        probes: Random probes of a sketched JᵀJ, see `geovq.linearised`; None for exact Jacobians.
        jacobians: Linearisations, at least 1.
        corrections: Steps after each linearisation that keep its JᵀJ.
        dampings: Weights of the mean metric that are tried.
        seed: Of the probes; all images have the same.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the images done.

    Returns:
        The tokens, of the shape of those given, none of whose images is worse than at the start.

    Raises:
        InputError: A decoder that has no derivatives, or images that are not finite.
    """
    problem = as_problem(decode, latents, codes, position_metrics)
    start = np.asarray(tokens, np.int32).reshape(*latents.shape[:3], len(problem.stages))
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    kernel = Joint(probes, jacobians, corrections, dampings)
    rows = (latents, start, images, np.broadcast_to(key, (len(latents), *key.shape)))
    found, errors = run(kernel, problem, *rows, plan=plan, progress=progress)
    return Assigned(found.reshape(np.shape(tokens)), errors)


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
    return Problem(partial, jnp.asarray(as_stages(codes)), jnp.asarray(metrics))
