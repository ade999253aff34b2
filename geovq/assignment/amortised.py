"""Amortised: joint assignment with a JᵀJ that is looked up, at a sixtieth of its cost."""

import dataclasses
from typing import Self

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from geovq.assignment.base import Codebook, MeasuredAssigner, Training, check_dampings
from geovq.assignment.clusters import ImageClusters, measure_clusters
from geovq.assignment.gauss_newton import GaussNewton, GaussNewtonAssigner, Problem, as_problem
from geovq.assignment.quadratic import Quadratic, error_gradient
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import Decoder
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import draw
from geovq.validation import InputError, check_images, check_whole


@dataclasses.dataclass(frozen=True, eq=False)
class Amortised(GaussNewtonAssigner, MeasuredAssigner):
    """Gauss-Newton steps with the image's own gradient and the mean JᵀJ of its cluster of training images.

    An image costs a gradient and 3 decodes; it keeps some three fifths of what `Joint` gains over `Whitened`.
    """

    steps: int = 1
    """Gradients of an image, at least 1."""
    dampings: tuple[float, ...] = (0.2, 1.0)
    """Weights λ of the mean metric that each step tries."""
    max_images: int = 8000
    """Training images at most, drawn at random, by which clusters are found and measured."""
    clusters: ImageClusters | None = None
    """Clusters of training images and the mean JᵀJ of each; None until they are measured."""

    def __post_init__(self) -> None:
        """Refuses numbers that are not whole or too small, and impossible dampings."""
        check_whole("steps", self.steps)
        check_whole("max_images", self.max_images)
        object.__setattr__(self, "dampings", check_dampings(self.dampings))

    def is_measured(self, codebook: Codebook) -> bool:
        """Whether there are clusters, measured at these codes."""
        return self.clusters is not None and np.array_equal(self.clusters.codes, codebook.codes)

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
        some = check_images(draw(training.images, self.max_images, training.seed))
        clusters = measure_clusters(
            decode,
            encode_images(training.encode, some, plan=plan),
            codebook,
            seed=training.seed,
            plan=plan,
            progress=progress,
        )
        return dataclasses.replace(self, clusters=clusters)

    def kernel_and_problem(
        self, decode: Decoder, codebook: Codebook, latents: Float[np.ndarray, "n h w d"]
    ) -> tuple[GaussNewton, Problem]:
        """With the curvature of the clusters."""
        assert self.clusters is not None  # the tokenizer has checked it
        t, measured = latents[0, ..., 0].size, len(self.clusters.coordinates)
        if t != measured:
            raise InputError(
                f"latents: expected grids of {measured} tokens, on which Amortised was measured, found {t}; use Whitened() "
                "or Joint() for other sizes."
            )
        curvature = ClusterCurvature(len(self.dampings) + 3, self.clusters.grams[0].size)
        problem = as_problem(decode, latents, codebook, curvature=self.clusters)
        return GaussNewton(curvature, self.steps, 0, self.dampings), problem


@dataclasses.dataclass(frozen=True)
class ClusterCurvature:
    """The mean JᵀJ of the cluster, out of `Problem.curvature`, whose centre is nearest to the encoder's latents."""

    decodes: int
    """At once; a gradient counts as three."""
    gram_size: int
    """Numbers of a gram."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """The decodes; where a gram takes more memory than these, its share."""
        return max(self.decodes, self.gram_size >> 14)

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
        """Around the origin, with the gradient there."""
        centres, grams, coordinates, residual, _ = (jnp.asarray(part) for part in problem.curvature)
        t, _, d = coordinates.shape
        at = jnp.einsum("qri,qi->qr", coordinates, latents.reshape(t, d), precision="highest")
        nearest = jnp.argmin(jnp.sum((centres - at[None]) ** 2, axis=(1, 2)))
        gradient = error_gradient(problem.decode, origin, image)
        return Quadratic(origin.reshape(t, d), gradient, coordinates, grams[nearest], residual)
