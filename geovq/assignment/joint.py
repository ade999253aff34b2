"""Joint: all tokens of an image together, the codes whose decoded image comes out right."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from geovq.assignment.base import Codebook, check_dampings
from geovq.assignment.gauss_newton import GaussNewton, GaussNewtonAssigner, Problem, as_problem
from geovq.assignment.quadratic import Quadratic, Sketched, exact_quadratic, projected_quadratic, sketched_quadratic
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder
from geovq.decoder.checks import check_decoder
from geovq.validation import InputError, check_whole

EXACT_NUMBERS = 1 << 30
"""Numbers of one whole Jacobian, t·d·H·W·C, and of its JᵀJ at most (4 GiB)."""


@dataclasses.dataclass(frozen=True)
class Joint(GaussNewtonAssigner):
    """Gauss-Newton steps over codes on the image's squared error, with the image's own JᵀJ.

    An image costs `jacobians` Jacobians: t·d forward-mode products each, or one for each direction, or a reverse-mode product for
    each probe. An image takes memory for its whole Jacobian, t·d·H·W·C numbers, and for JᵀJ, (t·d)² numbers; r directions take
    r·H·W·C numbers, and r probes r·(H·W·C + t·d).
    """

    directions: int | None = None
    """Leading directions of the latents along which Jacobians are computed; a third of t·d often loses nothing. None for whole
    Jacobians."""
    probes: int | None = None
    """Random probes by which Jacobians are sketched instead, by reverse-mode products, for large grids. The gradient stays exact,
    and every Jacobian has other probes. None for whole Jacobians."""
    seed: int = 0
    """Of the probes."""
    jacobians: int = 2
    """Linearisations of an image, at least 1."""
    corrections: int = 3
    """Steps after each linearisation that keep its JᵀJ and compute the gradient anew."""
    dampings: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Weights λ of the mean metric that each step tries."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and impossible dampings."""
        for name, count in (("directions", self.directions), ("probes", self.probes)):
            if count is not None:
                check_whole(name, count)
        if self.directions is not None and self.probes is not None:
            raise InputError("probes: expected directions or probes, found both; leave one of them out.")
        check_whole("seed", self.seed, 0)
        check_whole("jacobians", self.jacobians)
        check_whole("corrections", self.corrections, 0)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def kernel_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With whole Jacobians, or with Jacobians along the leading directions or by probes.

        Raises:
            InputError: A whole Jacobian, or its JᵀJ, that does not fit in the memory that is allowed.
        """
        size = latents[0].size
        if self.probes is not None:
            return self._with(SketchedCurvature(self.probes, self.seed)), as_problem(decode, latents, codebook)
        if self.directions is not None and self.directions < size:
            directions = leading_directions(codebook.metrics_on(latents.shape[1:3]), codebook.codes, self.directions)
            problem = as_problem(decode, latents, codebook, curvature=directions)
            return self._with(ProjectedCurvature(len(directions.steps))), problem
        problem = as_problem(decode, latents, codebook)
        numbers = size * max(size, check_decoder(problem.decode, np.asarray(latents, np.float32)))
        if numbers > EXACT_NUMBERS:
            raise InputError(
                f"latents: expected whole Jacobians of at most {EXACT_NUMBERS:,} numbers, found {numbers:,} for a grid of "
                f"{size:,}; use Joint(probes=256) or smaller images."
            )
        return self._with(ExactCurvature()), problem

    def _with(self, curvature: Any) -> GaussNewton:
        return GaussNewton(curvature, self.jacobians, self.corrections, self.dampings)


@dataclasses.dataclass(frozen=True)
class ExactCurvature:
    """The whole JᵀJ of the image."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each number of the grid."""
        return math.prod(shape)

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: int,
        *,
        at_once: int,
    ) -> Quadratic:
        """Around the origin."""
        return exact_quadratic(problem.decode, origin, image, tokens=max(1, at_once // origin.shape[-1]))


@dataclasses.dataclass(frozen=True)
class ProjectedCurvature:
    """JᵀJ along the directions in `Problem.curvature`; the mean metric on the residual."""

    directions: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each direction."""
        return self.directions

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: int,
        *,
        at_once: int,
    ) -> Quadratic:
        """Around the origin."""
        return projected_quadratic(problem.decode, origin, image, problem.curvature, at_once=at_once)


@dataclasses.dataclass(frozen=True)
class SketchedCurvature:
    """An estimate SᵀS of JᵀJ, by probes that are the same for every image and other ones in every linearisation."""

    probes: int
    seed: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A reverse-mode product for each probe, which costs about two."""
        return 2 * self.probes

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: int,
        *,
        at_once: int,
    ) -> Sketched:
        """Around the origin."""
        key = jax.random.fold_in(jax.random.key(self.seed), number)
        return sketched_quadratic(problem.decode, origin, image, self.probes, key, at_once=max(1, at_once // 2))
