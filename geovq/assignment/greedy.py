"""Greedy: candidates tried through the decoder itself, so that what a linearisation promises is checked on the image."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.base import GRADIENT, Assigner, Codebook, Inputs, MeasuredAssigner, Passes
from geovq.assignment.joint import Joint
from geovq.assignment.perceptual import ImageDistance, check_perceptual, weighted_distance
from geovq.assignment.problem import Problem, Target, as_problem, candidate_costs, cost_gradient
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.run import DEFAULT_PLAN, Plan, run
from geovq.numerics.additive import sum_codes
from geovq.numerics.linalg import quadratic_form
from geovq.validation import InputError, check_whole


@dataclasses.dataclass(frozen=True)
class Greedy(Assigner):
    """One token after the other takes the best of its most promising codes, all others staying as they are.

    The gradient of the image's error and the mean metric of the token's position say which codes are promising. A sweep costs
    `candidates` decodes and a gradient for every token.
    """

    needs_images: ClassVar[bool] = True

    candidates: int = 16
    """Codes of a token that are decoded in a sweep, the present one among them; at most K count."""
    sweeps: int = 1
    """Times that every token is tried at most; an image that a sweep did not change is done."""
    perceptual: float = 0.0
    """Weight of LPIPS in what is made small: the mean squared error that a unit of LPIPS is worth. 0.01 suits photographs; 0
    leaves LPIPS out, which pure squared error may raise. Needs `geovq[lpips]`."""
    distance: ImageDistance | None = None
    """Another differentiable distance of two images (H, W, C) in the place of LPIPS; files cannot hold it."""
    initial: Assigner = Joint()
    """The assigner whose tokens it starts from, where none are given: one without statistics."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and an initial assigner with statistics."""
        check_whole("candidates", self.candidates)
        check_whole("sweeps", self.sweeps)
        check_perceptual(self.perceptual, self.distance)
        if not isinstance(self.initial, Assigner) or isinstance(self.initial, MeasuredAssigner):
            raise InputError(
                f"initial: expected an assigner without statistics, such as geovq.Joint(), found {self.initial!r}; pass "
                "tokens of others as start=..."
            )

    @property
    def needs_positions(self) -> bool:
        """Whether the initial assigner does."""
        return self.initial.needs_positions

    def __call__(
        self,
        decode: Partial,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens, see `Assigner`; no image is worse than at the start."""
        if inputs.images is None:
            raise InputError("images: expected those that the latents are of, found none; Greedy looks at them.")
        start = self.initial(decode, codebook, inputs, plan=plan) if inputs.start is None else inputs.start
        found = np.array(start, np.int32)
        problem = as_problem(
            decode, inputs.latents, codebook, distance=weighted_distance(self.perceptual, self.distance)
        )
        kernel = GreedyStep(min(self.candidates, codebook.num_codes))
        active = np.arange(len(found))
        for sweep in range(self.sweeps):
            before = now = found[active]
            for index in np.ndindex(*found.shape[1:]):
                indices = np.broadcast_to(np.array(index, np.int32), (len(active), 3))
                now, _ = run(
                    kernel,
                    problem,
                    now,
                    inputs.images[active],
                    indices,
                    latent_shape=inputs.latents.shape[1:],
                    plan=plan,
                )
            found[active] = now
            changed = (now != before).any(axis=(1, 2, 3))
            if progress is not None:
                progress(len(active) if sweep + 1 == self.sweeps else int((~changed).sum()))
            active = active[changed]
            if len(active) == 0:
                break
        return found

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """Those of the start, and of every code of every token in every sweep."""
        candidates = min(self.candidates, codebook.num_codes)
        tries = GRADIENT.plus(Passes(decodes=candidates, at_once=candidates))
        steps = self.sweeps * math.prod(shape[:-1]) * codebook.num_quantizers
        return self.initial.passes(shape, codebook).plus(tries, steps)


@dataclasses.dataclass(frozen=True)
class GreedyStep:
    """Kernel: one code of one token of an image, chosen among its most promising ones."""

    candidates: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A decode for every candidate, and a gradient, which costs about three."""
        return self.candidates + 3

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """A gradient, and the candidates."""
        return decoder.decodes(decoder.residuals + decoder.forward + decoder.cotangent)

    def __call__(
        self,
        problem: Problem,
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        index: Int[Array, "3"],
        *,
        at_once: int,
    ) -> tuple[Int[Array, "h w S"], Float[Array, ""]]:
        """Tokens (h, w, S) with the code at `index` (row, column, quantizer) chosen anew, and their squared error."""
        row, column, quantizer = index
        grid = sum_codes(problem.codes, tokens)
        gradient = cost_gradient(problem, grid, image).reshape(grid.shape)
        codes = problem.codes[quantizer]
        present = tokens[row, column, quantizer]
        moves = codes - codes[present][None]
        metric = problem.metrics[row * tokens.shape[1] + column]
        promised = moves @ gradient[row, column] + quadratic_form(
            moves, jnp.broadcast_to(metric, (len(codes), *metric.shape))
        )
        # The present code comes first, so that of equals it stays.
        _, chosen = jax.lax.top_k(-promised.at[present].set(-jnp.inf), self.candidates)
        trials = jax.vmap(lambda code: tokens.at[row, column, quantizer].set(code))(chosen.astype(tokens.dtype))
        errors = candidate_costs(problem, trials, Target(image))
        best = jnp.argmin(errors)  # of NaN, if there is any, so that it is found
        return trials[best], errors[best]
