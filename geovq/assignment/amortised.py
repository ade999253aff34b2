"""Amortised: joint assignment with a JᵀJ that is looked up, at a sixtieth of its cost."""

import dataclasses
import math
from typing import ClassVar, Self

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.assignment.banded import Banded
from geovq.assignment.base import GRADIENT, Codebook, MeasuredAssigner, Passes, Training, check_dampings
from geovq.assignment.clusters import ImageClusters, measure_clusters
from geovq.assignment.dense import Dense, Gram
from geovq.assignment.gauss_newton import Curvature, GaussNewton, GaussNewtonAssigner, Place
from geovq.assignment.patchwork import PATCHWORK_DECODES
from geovq.assignment.problem import Problem, cost_memory
from geovq.assignment.stencils import TokenStencils, look_up_band, measure_stencils
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import Decoder
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import draw
from geovq.metric.band import check_blocks, takes_band
from geovq.validation import InputError, check_images, check_whole

_STENCIL_IMAGES = 32
"""Training images at most of which stencils are measured."""

_STENCIL_STEPS = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Amortised(GaussNewtonAssigner, MeasuredAssigner):
    """Gauss-Newton steps with the image's own gradient, and a JᵀJ that training images have in similar places.

    For a VAE of one fixed grid, or one of at most 25 tokens, that is the mean JᵀJ of the image's cluster of training images. For
    larger grids of any size it is a band of stencils, each the mean around tokens in similar contexts.
    """

    steps: int | None = None
    """Gradients of an image, at least 1. None takes 1 with clusters of images and 2 with stencils, whose steps are cheap."""
    dampings: tuple[float, ...] = (0.2, 1.0)
    """Weights λ of the mean metric that each step tries."""
    max_images: int = 8000
    """Training images at most, drawn at random, by which clusters are found and measured; at most 32 for stencils."""
    clusters: ImageClusters | None = None
    """Clusters of training images and the mean JᵀJ of each; None until they are measured."""
    stencils: TokenStencils | None = None
    """Clusters of contexts and the mean JᵀJ around a token of each; None until they are measured."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and impossible dampings."""
        super().__post_init__()
        if self.steps is not None:
            check_whole("steps", self.steps)
        check_whole("max_images", self.max_images)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def is_measured(self, codebook: Codebook) -> bool:
        """Whether there are clusters or stencils, measured at these codes."""
        found = self.stencils if self.clusters is None else self.clusters
        return found is not None and np.array_equal(found.codes, codebook.codes)

    def measure(
        self,
        decode: Partial,
        codebook: Codebook,
        training: Training,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """The same assigner with clusters of `training.images`.

        Raises:
            InputError: No images.
        """
        if training.images is None:
            raise InputError(
                "images: expected training images, by which Amortised measures its clusters, found none; call "
                "Tokenizer.replace(assigner=Amortised(), images=training_images)."
            )
        shape = encode_images(training.encode, check_images(training.images[:1]), plan=plan).shape[1:]
        by_stencils = codebook.position_metrics.shape[:2] == (1, 1) and takes_band(decode, shape)
        count = min(self.max_images, _STENCIL_IMAGES) if by_stencils else self.max_images
        some = draw(training.images, count, training.seed)
        latents = encode_images(training.encode, check_images(some), plan=plan)
        if by_stencils:
            stencils = measure_stencils(decode, latents, codebook, seed=training.seed, plan=plan, progress=progress)
            return dataclasses.replace(self, clusters=None, stencils=stencils)
        clusters = measure_clusters(decode, latents, codebook, seed=training.seed, plan=plan, progress=progress)
        return dataclasses.replace(self, clusters=clusters, stencils=None)

    def program_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With the curvature of the clusters or the stencils."""
        shape = latents.shape[1:]
        curvature: Curvature
        if self.stencils is not None:
            problem = self.problem(decode, latents, codebook, statistics=self.stencils)
            check_blocks(problem.decode, shape)
            curvature = StencilCurvature(self.stencils.blocks.shape[1])
        else:
            clusters = self.clusters
            assert clusters is not None  # the tokenizer has checked it
            problem = self.problem(decode, latents, codebook, statistics=clusters, residual=clusters.residual)
            t, measured = latents[0, ..., 0].size, len(clusters.coordinates)
            if t != measured:
                raise InputError(
                    f"latents: expected grids of {measured} tokens, on which Amortised was measured, found {t}; use Whitened() "
                    "or Joint() for other sizes."
                )
            curvature = ClusterCurvature(clusters.grams[0].size)
        return GaussNewton(curvature, self._steps, 0, self.dampings, cost_memory(problem, shape)), problem

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """The start, and the gradients and decodes of every step."""
        grams = 0 if self.clusters is None else self.clusters.grams[0].size
        decodes = len(self.dampings) + (0 if self.stencils is None else PATCHWORK_DECODES)
        tries = Passes(decodes=decodes, at_once=len(self.dampings), numbers=grams)
        return Passes(decodes=1).plus(GRADIENT.plus(tries), self._steps)

    @property
    def _steps(self) -> int:
        """Gradients of an image."""
        if self.steps is not None:
            return self.steps
        return 1 if self.stencils is None else _STENCIL_STEPS


@dataclasses.dataclass(frozen=True)
class StencilCurvature(Curvature):
    """The band of the stencils in `Problem.statistics`, looked up by the encoder's latents."""

    is_local: ClassVar[bool] = True

    blocks: int
    """b, of a token."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """The decoder does not run."""
        return 0

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The band with its copies, and a gradient."""
        band = 4 * math.prod(shape) * self.blocks * shape[-1]
        return decoder.decodes(4 * band + decoder.residuals + decoder.forward + decoder.cotangent)

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Banded:
        """Whatever the origin is."""
        return Banded(look_up_band(problem.statistics, place.latents))


@dataclasses.dataclass(frozen=True)
class ClusterCurvature(Curvature):
    """The mean JᵀJ of the cluster, out of `Problem.statistics`, whose centre is nearest to the encoder's latents."""

    gram_size: int
    """Numbers of a gram."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """The decoder does not run."""
        return 0

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The gram, and a gradient."""
        return decoder.decodes(4 * self.gram_size + decoder.residuals + decoder.forward + decoder.cotangent)

    def __call__(self, problem: Problem, place: Place, *, at_once: int) -> Dense:
        """Whatever the origin is."""
        centres, grams, coordinates, _, _ = (jnp.asarray(part) for part in problem.statistics)
        t, _, d = coordinates.shape
        at = jnp.einsum("qri,qi->qr", coordinates, place.latents.reshape(t, d), precision="highest")
        nearest = jnp.argmin(jnp.sum((centres - at[None]) ** 2, axis=(1, 2)))
        return Dense(Gram(coordinates, grams[nearest]))
