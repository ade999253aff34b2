"""Where `Joint` has the JᵀJ of an image from: the image's own Jacobian, as a whole, on a band, along directions or by probes."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geovq.assignment.banded import Banded
from geovq.assignment.gauss_newton import KernelCurvature
from geovq.assignment.problem import Problem, cost_gradient
from geovq.assignment.quadratic import (
    Quadratic,
    Sketched,
    exact_quadratic,
    projected_quadratic,
    sketched_quadratic,
)
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.metric.band import Lattice, grid_band, make_lattice
from geovq.metric.neighbours import band_memory

_WHOLE = "use Joint(radius=1), or take smaller images"


@dataclasses.dataclass(frozen=True)
class BandCurvature(KernelCurvature):
    """JᵀJ of tokens at most R rows and columns apart, see `geovq.metric.band`."""

    radius: int
    spacing: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each channel of each token of a window."""
        return self._lattice(shape).products

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The windows of all products, and the band with the copies that a step makes of it."""
        return band_memory(self._lattice(shape), decoder)

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: Int[Array, ""],
        *,
        at_once: int,
    ) -> Banded:
        """Around the origin."""
        h, w, d = origin.shape
        gradient = cost_gradient(problem, origin, image)
        band = grid_band(problem.decode, origin, self._lattice(origin.shape), at_once=at_once)
        return Banded(origin.reshape(-1, d), gradient, band, jnp.zeros((h * w, d, d), band.dtype))

    def _lattice(self, shape: tuple[int, ...]) -> Lattice:
        h, w, d = shape
        return make_lattice((h, w, d), radius=self.radius, spacing=self.spacing)


@dataclasses.dataclass(frozen=True)
class ExactCurvature(KernelCurvature):
    """The whole JᵀJ of the image."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each number of the grid."""
        return math.prod(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The whole Jacobian and JᵀJ."""
        size = math.prod(shape)
        return decoder.products(size * (decoder.image + 4 * size))._replace(least=shape[-1], remedy=_WHOLE)

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: Int[Array, ""],
        *,
        at_once: int,
    ) -> Quadratic:
        """Around the origin."""
        gradient = cost_gradient(problem, origin, image)
        return exact_quadratic(problem.decode, origin, gradient, tokens=max(1, at_once // origin.shape[-1]))


@dataclasses.dataclass(frozen=True)
class ProjectedCurvature(KernelCurvature):
    """JᵀJ along the directions in `Problem.curvature`; the mean metric on the residual."""

    directions: int
    coordinates: int
    """Of all tokens: as many for each as the token with the most directions has."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each direction."""
        return self.directions

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The Jacobian along the directions and JᵀJ."""
        return decoder.products(self.directions * decoder.image + 4 * self.coordinates**2)

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: Int[Array, ""],
        *,
        at_once: int,
    ) -> Quadratic:
        """Around the origin."""
        gradient = cost_gradient(problem, origin, image)
        return projected_quadratic(problem.decode, origin, gradient, problem.curvature, at_once=at_once)


@dataclasses.dataclass(frozen=True)
class SketchedCurvature(KernelCurvature):
    """An estimate SᵀS of JᵀJ, by probes that are the same for every image and other ones in every linearisation."""

    probes: int
    seed: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A reverse-mode product for each probe, which costs about two."""
        return 2 * self.probes

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The probes and the sketch."""
        r, size = self.probes, math.prod(shape)
        return decoder.products(r * (decoder.image + 4 * size))

    def __call__(
        self,
        problem: Problem,
        latents: Float[Array, "h w d"],
        origin: Float[Array, "h w d"],
        image: Float[Array, "H W C"],
        number: Int[Array, ""],
        *,
        at_once: int,
    ) -> Sketched:
        """Around the origin."""
        gradient = cost_gradient(problem, origin, image)
        key = jax.random.fold_in(jax.random.key(self.seed), number)
        return sketched_quadratic(problem.decode, origin, gradient, self.probes, key, at_once=max(1, at_once // 2))
