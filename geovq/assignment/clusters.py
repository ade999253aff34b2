"""Clusters of images and the mean JᵀJ of each: what an image's own Jacobian is like, without computing it.

How tokens move the image depends mostly on what the image shows. Training images are clustered by their latents, measured by what
moves the image (`geovq.assignment.subspace`), and each cluster keeps the mean of its images' JᵀJ at their codes.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from geovq.assignment.base import Codebook
from geovq.assignment.dense import projected_gram
from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.assignment.subspace import Directions, leading_directions
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import run_summed
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_decoder
from geovq.numerics.additive import sum_codes
from geovq.numerics.kmeans import kmeans

_DIRECTIONS = 6
"""Directions of a token at most, in the mean."""

_MEMBERS = 16
"""Images of a cluster at least, in the mean."""

_NUMBERS = 1 << 26
"""Numbers of all grams at most (256 MiB)."""


class ImageClusters(NamedTuple):
    """M clusters of images, in r coordinates of each of t tokens."""

    centres: Float[np.ndarray | Array, "M t r"]
    """Mean coordinates of the latents of a cluster's images."""
    grams: Float[np.ndarray | Array, "M t r t r"]
    """Mean JᵀJ of a cluster in these coordinates."""
    coordinates: Float[np.ndarray | Array, "t r d"]
    """As in `geovq.assignment.subspace`."""
    residual: Float[np.ndarray | Array, "t d d"]
    """Mean metric at each position of what has no coordinates, intensity²."""
    codes: Float[np.ndarray | Array, "S K d"]
    """Codes at which JᵀJ was measured."""


@dataclasses.dataclass(frozen=True)
class _ProjectedGram:
    """Kernel: JᵀJ along the directions at one grid."""

    tangents: int
    coordinates: int
    """Of all tokens, t·r."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """One for each tangent."""
        return self.tangents

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The Jacobian along the directions and the gram."""
        return decoder.products(self.tangents * decoder.image + 4 * self.coordinates**2)

    def __call__(
        self, shared: tuple[Partial, Directions], grid: Float[Array, "h w d"], *, at_once: int
    ) -> Float[Array, "t r t r"]:
        """In the coordinates of the directions."""
        return projected_gram(shared[0], grid, shared[1], at_once=at_once)


def measure_clusters(
    decode: Decoder,
    latents: Float[np.ndarray, "n h w d"],
    codebook: Codebook,
    *,
    num_clusters: int = 256,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> ImageClusters:
    """The clusters of some training images.

    Args:
        decode: Takes one grid to one image.
        latents: What the encoder made of training images; some thousands.
        codebook: Codes, and the mean metric of each position.
        num_clusters: M at most; fewer where there are fewer than 16 images for each, or where M grams of (t·r)² numbers would
            take more than 256 MiB: 64 of 8 x 8 tokens with 16 coordinates each.
        seed: Of the clusters.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the images done.

    Returns:
        The clusters.

    Raises:
        InputError: A decoder that has no derivatives, or some that are not finite.
    """
    latents, codes = np.asarray(latents, np.float32), codebook.codes
    n, d, t = len(latents), latents.shape[-1], latents[0, ..., 0].size
    directions = leading_directions(codebook.metrics_on(latents.shape[1:3]), codes, _DIRECTIONS * t)
    tokens = nearest_tokens_whitened(latents.reshape(-1, d), codes, codebook.mean_metric)
    quantized = sum_codes(codes, tokens).reshape(latents.shape)
    at = np.einsum("nqi,qri->nqr", latents.reshape(n, t, d), directions.coordinates)
    flat, r = at.reshape(n, -1), at.shape[-1]
    count = max(1, min(num_clusters, len(np.unique(flat, axis=0)), n // _MEMBERS, _NUMBERS // (t * r) ** 2))
    centres, labels = kmeans(flat, count, root=np.eye(t * r, dtype=np.float32), seed=seed)
    shared, kernel = (as_partial(decode), directions), _ProjectedGram(len(directions.steps), t * r)
    check_decoder(shared[0], latents)
    grams = np.zeros((count, t, r, t, r), np.float32)
    for cluster in range(count):
        members = quantized[labels == cluster]
        grams[cluster] = run_summed(kernel, shared, members, plan=plan, progress=progress) / len(members)
    return ImageClusters(centres.reshape(count, t, r), grams, directions.coordinates, directions.residual, codes)
