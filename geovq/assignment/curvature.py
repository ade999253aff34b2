"""Where `Joint` has the JᵀJ of an image from: the image's own Jacobian, as a whole, on a band, along directions or by probes."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from geovq.assignment.banded import Banded
from geovq.assignment.dense import Dense, Factor, Gram, exact_gram, projected_gram, sketched_factor
from geovq.assignment.gauss_newton import Curvature, Place
from geovq.assignment.problem import Problem
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.metric.neighbours import GridBand

_WHOLE = "use Joint(radius=1), or take smaller images"
_BAND = "use Whitened() or Amortised(), or take smaller images"


@dataclasses.dataclass(frozen=True)
class BandCurvature(Curvature):
    """JᵀJ of tokens at most R rows and columns apart, see `geovq.metric.band`."""

    is_local: ClassVar[bool] = True

    radius: int
    spacing: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each channel of each token of a window."""
        return self._kernel.passes(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The windows of all products, and the band with its copies."""
        return self._kernel.memory(decoder, shape)._replace(remedy=_BAND)

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Banded:
        """At the origin."""
        return Banded(self._kernel(problem.decode, place.origin, at_once=at_once))

    @property
    def _kernel(self) -> GridBand:
        return GridBand(self.radius, self.spacing)


@dataclasses.dataclass(frozen=True)
class ExactCurvature(Curvature):
    """The whole JᵀJ of the image."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each number of the grid."""
        return math.prod(shape)

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The whole Jacobian and JᵀJ."""
        size = math.prod(shape)
        return decoder.products(size * (decoder.image + 4 * size))._replace(least=shape[-1], remedy=_WHOLE)

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Dense:
        """At the origin."""
        h, w, d = place.origin.shape
        gram = exact_gram(problem.decode, place.origin, tokens=max(1, at_once // d))
        return Dense(Gram(jnp.broadcast_to(jnp.eye(d, dtype=place.origin.dtype), (h * w, d, d)), gram))


@dataclasses.dataclass(frozen=True)
class ProjectedCurvature(Curvature):
    """JᵀJ along the directions in `Problem.statistics`; beside them the mean metric in `Problem.residual` counts."""

    directions: int
    coordinates: int
    """Of all tokens: as many for each as the token with the most directions has."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each direction."""
        return self.directions

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The Jacobian along the directions and JᵀJ."""
        return decoder.products(self.directions * decoder.image + 4 * self.coordinates**2)

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Dense:
        """At the origin."""
        gram = projected_gram(problem.decode, place.origin, problem.statistics, at_once=at_once)
        return Dense(Gram(jnp.asarray(problem.statistics.coordinates), gram))


@dataclasses.dataclass(frozen=True)
class SketchedCurvature(Curvature):
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

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Dense:
        """At the origin."""
        key = jax.random.fold_in(jax.random.key(self.seed), place.number)
        at_once = max(1, at_once // 2)
        return Dense(Factor(sketched_factor(problem.decode, place.origin, self.probes, key, at_once=at_once)))
