"""Greedy: candidates tried through the decoder itself, so that what a linearisation promises is checked on the image.

On large grids tokens that are `spacing` rows and columns apart are tried together: their responses hardly meet, so that one
decoded image shows a candidate of each of them, and the pixels around a token say which candidate is its best. What they chose
together is decoded, too, and taken only if the whole image is better.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.assignment.banded import code_values
from geovq.assignment.base import GRADIENT, Assigner, Codebook, Inputs, MeasuredAssigner, Passes
from geovq.assignment.joint import Joint
from geovq.assignment.patchwork import local_costs
from geovq.assignment.perceptual import ImageAssigner, images_of
from geovq.assignment.problem import Problem, Target, candidate_costs, cost_gradient, cost_memory
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import run
from geovq.metric.band import Lattice, check_spacing, has_blocks, is_large
from geovq.numerics.additive import sum_codes
from geovq.validation import InputError, check_whole, shown

_SPACING = 3
"""Distance in tokens of those that are tried together on large grids."""


@dataclasses.dataclass(frozen=True)
class Greedy(ImageAssigner):
    """One token after the other takes the best of its most promising codes, all others staying as they are.

    The gradient of the image's error and the mean metric of the token's position say which codes are promising. A sweep costs
    `candidates` decodes and a gradient for every token of a small grid, and as much s² times for a large one, whatever its size.
    """

    candidates: int = 16
    """Codes of a token that are decoded in a sweep, the present one among them; at most K count."""
    sweeps: int = 1
    """Times that every token is tried at most; an image that a sweep did not change is done."""
    spacing: int | None = None
    """s, distance of the tokens that are tried together, odd: less is faster, and less exact. None takes 3 on large grids and
    tries tokens one by one on grids of at most 25. So does any s where the tokens have no blocks of pixels of their own."""
    initial: Assigner = Joint()
    """The assigner whose tokens it starts from, where none are given: one without statistics."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and an initial assigner with statistics."""
        super().__post_init__()
        check_whole("candidates", self.candidates)
        check_whole("sweeps", self.sweeps)
        check_spacing(0, self.spacing)
        if not isinstance(self.initial, Assigner) or isinstance(self.initial, MeasuredAssigner):
            raise InputError(
                f"initial: expected an assigner without statistics, such as geovq.Joint(), found {shown(self.initial)}; pass "
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
        images = images_of(inputs)
        start = self.initial(decode, codebook, inputs, plan=plan) if inputs.start is None else inputs.start
        found = np.array(start, np.int32)
        problem, shape = self.problem(decode, inputs.latents, codebook), inputs.latents.shape[1:]
        lattice = self._lattice(shape, together=has_blocks(problem.decode, shape))
        candidates = min(self.candidates, codebook.num_codes)
        kernel = GreedyStep(candidates, lattice.spacing, cost_memory(problem, shape).distance)
        active = np.arange(len(found))
        for sweep in range(self.sweeps):
            before = now = found[active]
            for index in np.ndindex(*lattice.periods, found.shape[-1]):
                indices = np.broadcast_to(np.array(index, np.int32), (len(active), 3))
                now, _ = run(kernel, problem, now, images[active], indices, latent_shape=shape, plan=plan)
            found[active] = now
            changed = (now != before).any(axis=(1, 2, 3))
            if progress is not None:
                progress(len(active) if sweep + 1 == self.sweeps else int((~changed).sum()))
            active = active[changed]
            if len(active) == 0:
                break
        return found

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """Those of the start, and of every code of the tokens that are tried together, in every sweep."""
        candidates, lattice = min(self.candidates, codebook.num_codes), self._lattice(shape, together=True)
        tries = GRADIENT.plus(Passes(decodes=candidates + (math.prod(lattice.windows) > 1), at_once=candidates))
        steps = self.sweeps * math.prod(lattice.periods) * codebook.num_quantizers
        return self.initial.passes(shape, codebook).plus(tries, steps)

    def _lattice(self, shape: tuple[int, ...], *, together: bool) -> Lattice:
        """Which tokens of a grid (h, w, d) are tried at once."""
        h, w, d = shape
        alone = max(h, w) | 1
        spacing = _SPACING if is_large(shape) else alone
        return Lattice((h, w, d), 0, (self.spacing or spacing) if together else alone)


@dataclasses.dataclass(frozen=True)
class GreedyStep:
    """Kernel: one code of the tokens of a lattice, each chosen among its most promising ones."""

    candidates: int
    spacing: int
    distance: int
    """Bytes of the distance of two images with its gradient."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A decode for every candidate, and a gradient, which costs about three."""
        return self.candidates + 3

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """A gradient, and the candidates."""
        row = decoder.decodes(decoder.residuals + decoder.forward + decoder.cotangent + self.distance)
        return row._replace(each=row.each + self.distance)

    def __call__(
        self,
        problem: Problem,
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        index: Int[Array, "3"],
        *,
        at_once: int,
    ) -> tuple[Int[Array, "h w S"], Float[Array, ""]]:
        """Tokens with the codes of one lattice chosen anew, and what they cost.

        Args:
            problem: What all images share.
            tokens: As they are.
            image: That they are for.
            index: Row and column of the lattice's first token, and the quantizer.
            at_once: Candidates that are decoded at once.
        """
        (h, w, _), s = tokens.shape, self.spacing
        row, column, quantizer = index
        rows, columns = (first + s * jnp.arange(-(-side // s)) for first, side in ((row, h), (column, w)))
        at = jnp.minimum(rows, h - 1)[:, None], jnp.minimum(columns, w - 1)[None]
        inside = (rows < h)[:, None] & (columns < w)[None]
        chosen = self._promising(problem, tokens, image, (*at, quantizer))

        def trial(codes: Int[Array, "ny nx"]) -> Int[Array, "h w S"]:
            return tokens.at[(rows[:, None], columns[None], quantizer)].set(codes, mode="drop")

        trials = jax.vmap(trial)(chosen)
        if inside.size == 1:
            costs = candidate_costs(problem, trials, Target(image), at_once=at_once)
            best = jnp.argmin(costs)  # of NaN, if there is any, so that it is found
            return trials[best], costs[best]
        costs, errors = local_costs(problem, trials, image, at_once=at_once, reach=s // 2)
        best = jnp.argmin(errors[(slice(None), *at)], axis=0)
        together = trial(jnp.take_along_axis(chosen, best[None], axis=0)[0])
        cost = candidate_costs(problem, together[None], Target(image))[0]
        finite = jnp.isfinite(errors).all()
        return jnp.where(cost < costs[0], together, tokens), jnp.where(finite, jnp.minimum(cost, costs[0]), jnp.nan)

    def _promising(
        self,
        problem: Problem,
        tokens: Int[Array, "h w S"],
        image: Float[Array, "H W C"],
        at: tuple[Array, Array, Array],
    ) -> Int[Array, "c ny nx"]:
        """The most promising codes of the tokens at these rows, columns and quantizer: the present one, and then the best."""
        rows, columns, quantizer = at
        grid = sum_codes(problem.codes, tokens)
        gradient = cost_gradient(problem, grid, image).reshape(grid.shape)[rows, columns]
        codes, present = problem.codes[quantizer], tokens[rows, columns, quantizer]
        metrics = problem.metrics.reshape(*grid.shape, -1)[rows, columns]
        slopes = gradient / 2 - jnp.einsum("yxij,yxj->yxi", metrics, codes[present], precision="highest")
        promised = code_values(metrics.reshape(-1, *metrics.shape[2:]), slopes.reshape(-1, slopes.shape[-1]), codes)
        # The present code comes first, so that of equals it stays.
        promised = promised.at[present.ravel(), jnp.arange(present.size)].set(-jnp.inf)
        chosen = jax.lax.top_k(-promised.T, self.candidates)[1].T
        return chosen.reshape(-1, *present.shape).astype(tokens.dtype)
