"""Joint: all tokens of an image together, the codes whose decoded image comes out right."""

import dataclasses
import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from geovq.assignment.base import GRADIENT, Codebook, Passes, check_dampings
from geovq.assignment.curvature import BandCurvature, ExactCurvature, ProjectedCurvature, SketchedCurvature
from geovq.assignment.gauss_newton import Curvature, GaussNewton, GaussNewtonAssigner
from geovq.assignment.patchwork import PATCHWORK_DECODES
from geovq.assignment.problem import Problem, cost_memory
from geovq.assignment.subspace import leading_directions
from geovq.decoder.adapters import Decoder
from geovq.metric.band import Lattice, check_blocks, check_spacing, has_blocks, is_large, make_lattice
from geovq.validation import InputError, check_seed, check_whole, shown

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
    """Distance of the tokens whose responses one product gives, odd and above R; None takes 2R+1, and at least 3. More is more
    exact and costs more products, s²·d for a Jacobian; a second Jacobian is worth more."""
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
        super().__post_init__()
        for name, count in (("directions", self.directions), ("probes", self.probes)):
            if count is not None:
                check_whole(name, count)
        if self.directions is not None and self.probes is not None:
            raise InputError("probes: expected directions or probes, found both; leave one of them out.")
        self._check_band()
        check_seed(self.seed)
        check_whole("jacobians", self.jacobians)
        check_whole("corrections", self.corrections, 0)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def _check_band(self) -> None:
        if isinstance(self.radius, str) and self.radius != "auto":
            raise InputError(
                f'radius: expected a whole number, None or "auto", found {shown(self.radius)}; choose one of them.'
            )
        if isinstance(self.radius, int | np.integer) and (self.probes is not None or self.directions is not None):
            raise InputError("radius: expected a radius, probes or directions, found two of them; leave one out.")
        if self.spacing is not None and (self.radius is None or self.probes is not None or self.directions is not None):
            raise InputError("spacing: expected a band, found whole Jacobians, directions or probes; leave it out.")
        radius = _RADIUS if self.radius is None or isinstance(self.radius, str) else self.radius
        check_spacing(radius, self.spacing)

    def program_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With whole Jacobians or a band of them, or with Jacobians along the leading directions or by probes.

        Raises:
            InputError: A band of a decoder whose tokens have no blocks of pixels.
        """
        shape, directions, residual = latents.shape[1:], None, None
        if self.directions is not None and self.directions < math.prod(shape):
            directions = leading_directions(codebook.metrics_on(shape[:2]), codebook.codes, self.directions)
            residual = directions.residual
        problem = self.problem(decode, latents, codebook, statistics=directions, residual=residual)
        curvature, costs = self._curvature(problem, shape), cost_memory(problem, shape)
        return GaussNewton(curvature, self.jacobians, self.corrections, self.dampings, costs), problem

    def _curvature(self, problem: Problem, shape: tuple[int, ...]) -> Curvature:
        """Where JᵀJ comes from, for grids (h, w, d)."""
        if problem.statistics is not None:
            steps, _, _, coordinates, _ = problem.statistics
            return ProjectedCurvature(len(steps), coordinates.shape[0] * coordinates.shape[1])
        if self.probes is not None:
            return SketchedCurvature(self.probes, self.seed)
        lattice = self._lattice(shape)
        if lattice is None or (self.radius == "auto" and not has_blocks(problem.decode, shape)):
            return ExactCurvature()
        check_blocks(problem.decode, shape)
        return BandCurvature(lattice.radius, lattice.spacing)

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """The start, and `jacobians` Jacobians, each with its steps and corrections."""
        size, trials, products = math.prod(shape), len(self.dampings), self.products(shape)
        if self.probes is not None:
            jacobian = Passes(1, cotangents=products, at_once=products, jacobian_rows=products, numbers=products * size)
        elif (lattice := self._lattice(shape)) is not None:
            rows, band = lattice.numbers(size) // size, size * len(lattice.offsets) * shape[-1]
            jacobian = Passes(1, products, at_once=products, jacobian_rows=rows, numbers=4 * band)  # with its copies
            trials += PATCHWORK_DECODES
        else:
            coordinates = size // shape[-1] * min(products, shape[-1])  # at most
            jacobian = Passes(1, products, at_once=products, jacobian_rows=products, numbers=coordinates**2)
        tries = Passes(decodes=trials, at_once=len(self.dampings))
        each = GRADIENT.plus(jacobian).plus(GRADIENT, self.corrections).plus(tries, 1 + self.corrections)
        return Passes(decodes=1).plus(each, self.jacobians)

    def products(self, shape: tuple[int, ...]) -> int:
        """Of a Jacobian for a grid (h, w, d): reverse-mode ones of probes, else forward-mode ones."""
        if self.probes is not None:
            return self.probes
        if self.directions is not None:
            return min(self.directions, math.prod(shape))
        lattice = self._lattice(shape)
        return math.prod(shape) if lattice is None else lattice.products

    def _lattice(self, shape: tuple[int, ...]) -> Lattice | None:
        """The band of grids (h, w, d), or None for whole Jacobians."""
        (h, w, d), radius, spacing = shape, self.radius, self.spacing
        if radius == "auto":
            radius = _RADIUS if self.directions is None and is_large(shape) else None
        if radius is None:
            return None
        return make_lattice((h, w, d), radius=radius, spacing=max(3, 2 * radius + 1) if spacing is None else spacing)
