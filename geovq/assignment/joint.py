"""Joint: all tokens of an image together, the codes whose decoded image comes out right."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from geovq.assignment.base import Codebook, check_dampings
from geovq.assignment.gauss_newton import GaussNewton, GaussNewtonAssigner, Problem, as_problem
from geovq.assignment.quadratic import Quadratic, exact_quadratic, projected_quadratic
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder
from geovq.validation import check_whole


@dataclasses.dataclass(frozen=True)
class Joint(GaussNewtonAssigner):
    """Gauss-Newton steps over codes on the image's squared error, with the image's own JᵀJ.

    An image costs `jacobians` Jacobians, of t·d forward-mode products each or of as many as there are directions.
    """

    directions: int | None = None
    """Leading directions of the latents along which Jacobians are computed; a third of t·d often loses nothing. None for whole
    Jacobians."""
    jacobians: int = 2
    """Linearisations of an image, at least 1."""
    corrections: int = 3
    """Steps after each linearisation that keep its JᵀJ and compute the gradient anew."""
    dampings: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Weights λ of the mean metric that each step tries."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and impossible dampings."""
        if self.directions is not None:
            check_whole("directions", self.directions)
        check_whole("jacobians", self.jacobians)
        check_whole("corrections", self.corrections, 0)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def kernel_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With whole Jacobians, or with Jacobians along the leading directions."""
        if self.directions is None or self.directions >= latents[0].size:
            curvature: Any = ExactCurvature()
            problem = as_problem(decode, latents, codebook)
        else:
            directions = leading_directions(codebook.position_metrics, codebook.codes, self.directions)
            curvature = ProjectedCurvature(len(directions.steps))
            problem = as_problem(decode, latents, codebook, curvature=directions)
        return GaussNewton(curvature, self.jacobians, self.corrections, self.dampings), problem


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
        *,
        at_once: int,
    ) -> Quadratic:
        """Around the origin."""
        return projected_quadratic(problem.decode, origin, image, problem.curvature, at_once=at_once)
