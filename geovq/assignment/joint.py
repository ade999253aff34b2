"""Joint: all tokens of an image together, the codes whose decoded image comes out right."""

import dataclasses
import math
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from geovq.assignment.base import GRADIENT, Codebook, Passes, check_dampings
from geovq.assignment.curvature import BandCurvature, ExactCurvature, ProjectedCurvature, SketchedCurvature
from geovq.assignment.gauss_newton import Curvature, GaussNewton, GaussNewtonAssigner
from geovq.assignment.patchwork import PATCHWORK_DECODES
from geovq.assignment.perceptual import ImageDistance, check_perceptual, weighted_distance
from geovq.assignment.problem import Problem, as_problem
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder
from geovq.metric.band import SPACING, check_blocks, has_blocks, make_lattice
from geovq.validation import InputError, check_whole

_RADIUS = 1


@dataclasses.dataclass(frozen=True)
class Joint(GaussNewtonAssigner):
    """Gauss-Newton steps over codes on the image's squared error, with the image's own JᵀJ.

    An image costs `jacobians` Jacobians. Large grids take a band of JᵀJ: s²·d forward-mode products whatever the grid's size, and
    memory for s²·d·H·W·C numbers of responses and (2R+1)²·d² numbers of JᵀJ a token. A whole Jacobian takes t·d products, and
    memory for t·d·H·W·C and (t·d)² numbers; r directions take r products and r·H·W·C numbers, r probes r reverse-mode products
    and r·(H·W·C + t·d) numbers.
    """

    radius: int | Literal["auto"] | None = "auto"
    """R: tokens at most R rows and R columns apart interact. None for whole Jacobians, in which all do. "auto" takes whole ones
    for grids of at most 25 tokens and for decoders whose tokens have no blocks of pixels of their own, and else R = 1."""
    spacing: int | None = None
    """Tokens between those whose responses one product gives, odd and above R; None takes 2R+1. More is more exact and costs
    more products, s²·d for a Jacobian; a second Jacobian is worth more."""
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
    perceptual: float = 0.0
    """Weight of LPIPS in what is made small: the mean squared error that a unit of LPIPS is worth. 0.01 suits photographs; 0
    leaves LPIPS out, which pure squared error may raise. Needs `geovq[lpips]`."""
    distance: ImageDistance | None = None
    """Another differentiable distance of two images (H, W, C) in the place of LPIPS; files cannot hold it."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and impossible dampings."""
        for name, count in (("directions", self.directions), ("probes", self.probes)):
            if count is not None:
                check_whole(name, count)
        if self.directions is not None and self.probes is not None:
            raise InputError("probes: expected directions or probes, found both; leave one of them out.")
        self._check_band()
        check_whole("seed", self.seed, 0)
        check_whole("jacobians", self.jacobians)
        check_whole("corrections", self.corrections, 0)
        check_perceptual(self.perceptual, self.distance)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def _check_band(self) -> None:
        if isinstance(self.radius, str) and self.radius != "auto":
            raise InputError(
                f'radius: expected a whole number, None or "auto", found {self.radius!r}; choose one of them.'
            )
        if isinstance(self.radius, int) and (self.probes is not None or self.directions is not None):
            raise InputError("radius: expected a radius, probes or directions, found two of them; leave one out.")
        radius = _RADIUS if self.radius is None or isinstance(self.radius, str) else self.radius
        make_lattice((1, 1, 1), radius=radius, spacing=self.spacing)

    def program_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With whole Jacobians or a band of them, or with Jacobians along the leading directions or by probes.

        Raises:
            InputError: A band of a decoder whose tokens have no blocks of pixels.
        """
        shape = latents.shape[1:]
        size = math.prod(shape)
        if self.directions is not None and self.directions < size:
            directions = leading_directions(codebook.metrics_on(latents.shape[1:3]), codebook.codes, self.directions)
            problem = as_problem(
                decode,
                latents,
                codebook,
                curvature=directions,
                distance=weighted_distance(self.perceptual, self.distance),
            )
            return self._with(ProjectedCurvature(len(directions.steps))), problem
        problem = as_problem(decode, latents, codebook, distance=weighted_distance(self.perceptual, self.distance))
        if self.probes is not None:
            return self._with(SketchedCurvature(self.probes, self.seed)), problem
        radius, image = self._radius(shape), jax.eval_shape(problem.decode, latents[0])
        if radius is not None and (self.radius != "auto" or has_blocks(shape, image)):
            check_blocks(shape, image)
            return self._with(BandCurvature(radius, self._spacing(radius))), problem
        return self._with(ExactCurvature()), problem

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """The start, and `jacobians` Jacobians, each with its steps and corrections."""
        size, trials = math.prod(shape), len(self.dampings)
        if self.probes is not None:
            jacobian = GRADIENT.plus(Passes(1, cotangents=self.probes, at_once=self.probes, jacobian_rows=self.probes))
            jacobian = jacobian._replace(numbers=self.probes * size)
        elif self.directions is not None and self.directions < size:
            rows = self.directions
            jacobian = GRADIENT.plus(Passes(1, rows, at_once=rows, jacobian_rows=rows, numbers=rows**2))
        elif (radius := self._radius(shape)) is not None:
            h, w, d = shape
            lattice = make_lattice((h, w, d), radius=radius, spacing=self._spacing(radius))
            rows = lattice.numbers(h * w) // (h * w)
            jacobian = GRADIENT.plus(Passes(1, lattice.products, at_once=lattice.products, jacobian_rows=rows))
            trials += PATCHWORK_DECODES
        else:
            jacobian = GRADIENT.plus(Passes(1, size, at_once=size, jacobian_rows=size, numbers=size**2))
        tries = Passes(decodes=trials, at_once=len(self.dampings))
        each = jacobian.plus(GRADIENT, self.corrections).plus(tries, 1 + self.corrections)
        return Passes(decodes=1).plus(each, self.jacobians)

    def _radius(self, shape: tuple[int, ...]) -> int | None:
        """R for a grid (h, w, d), or None for whole Jacobians."""
        if self.radius != "auto":
            return self.radius
        return None if self.directions is not None or shape[0] * shape[1] <= SPACING**2 else _RADIUS

    def _spacing(self, radius: int) -> int:
        return 2 * radius + 1 if self.spacing is None else self.spacing

    def _with(self, curvature: Curvature) -> GaussNewton:
        return GaussNewton(curvature, self.jacobians, self.corrections, self.dampings)
