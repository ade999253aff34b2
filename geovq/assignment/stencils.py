"""Stencils: the mean JᵀJ of a token with its neighbours, for tokens in similar contexts.

How a token moves the image depends mostly on the latents around it. Tokens of training images are clustered by these, and each
cluster keeps the mean blocks of JᵀJ of its tokens with their neighbours. So a grid of any size has a band without a Jacobian.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.assignment.base import Codebook
from geovq.assignment.nearest_codes import nearest_codes, nearest_tokens_whitened
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import Decoder
from geovq.metric.band import Lattice
from geovq.metric.neighbours import neighbour_metrics
from geovq.numerics.additive import sum_codes
from geovq.numerics.kmeans import kmeans
from geovq.numerics.linalg import eigen_root

_SIDE = 16
"""Rows and columns at most of the parts of training grids that are measured."""

_RADIUS = 1
"""R of the bands."""

_MEMBERS = 32
"""Tokens of a cluster at least, in the mean."""


class TokenStencils(NamedTuple):
    """M clusters of contexts, and the mean JᵀJ around a token of each."""

    centres: Float[np.ndarray | Array, "M c"]
    """Mean contexts: the latents of a token and its eight neighbours, whitened by the mean metric."""
    root: Float[np.ndarray | Array, "d d"]
    """Root of the mean metric."""
    blocks: Float[np.ndarray | Array, "M b d d"]
    """Mean blocks with the neighbours at most R away, intensity²."""
    codes: Float[np.ndarray | Array, "S K d"]
    """Codes at which JᵀJ was measured."""


def measure_stencils(
    decode: Decoder,
    latents: Float[np.ndarray, "n h w d"],
    codebook: Codebook,
    *,
    num_clusters: int = 64,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> TokenStencils:
    """The stencils of some training images.

    Args:
        decode: Takes one grid of any size to one image.
        latents: What the encoder made of training images; of each a part of 16 x 16 tokens is measured, drawn at random, by s²·d
            products.
        codebook: Codes, and the mean metric.
        num_clusters: M at most; fewer where there are fewer than 32 tokens for each.
        seed: Of parts and clusters.
        plan: How much at once and on which devices.
        progress: Called with the images done.

    Returns:
        The stencils.

    Raises:
        InputError: A decoder that has no derivatives, or whose tokens have no blocks of pixels.
    """
    parts = _draw_parts(np.asarray(latents, np.float32), seed)
    h, w, d = parts.shape[1:]
    tokens = nearest_tokens_whitened(parts.reshape(-1, d), codebook.codes, codebook.mean_metric)
    quantized = sum_codes(codebook.codes, tokens).reshape(parts.shape)
    bands = neighbour_metrics(decode, quantized, radius=_RADIUS, plan=plan, progress=progress)
    root = eigen_root(codebook.mean_metric).astype(np.float32)
    # These have all their neighbours, but on grids so thin that there are none.
    inner = [slice(_RADIUS, side - _RADIUS) if side > 2 * _RADIUS else slice(None) for side in (h, w)]
    contexts = np.stack([np.asarray(contexts_of(part, root)) for part in parts])[:, *inner].reshape(-1, 9 * d)
    bands = bands[:, *inner].reshape(-1, *bands.shape[3:])
    count = max(1, min(num_clusters, len(contexts) // _MEMBERS, len(np.unique(contexts, axis=0))))
    centres, labels = kmeans(contexts, count, root=np.eye(contexts.shape[1], dtype=np.float32), seed=seed)
    blocks = np.stack([bands[labels == cluster].mean(axis=0) for cluster in range(count)])
    return TokenStencils(centres.astype(np.float32), root, blocks.astype(np.float32), codebook.codes)


def _draw_parts(latents: Float[np.ndarray, "n h w d"], seed: int) -> Float[np.ndarray, "n a b d"]:
    """A part of each grid at a random place."""
    n, h, w, _ = latents.shape
    height, width = min(h, _SIDE), min(w, _SIDE)
    rng = np.random.default_rng(seed)
    tops, lefts = rng.integers(0, h - height + 1, n), rng.integers(0, w - width + 1, n)
    return np.stack([z[y : y + height, x : x + width] for z, y, x in zip(latents, tops, lefts, strict=True)])


def contexts_of(
    latents: Float[Array | np.ndarray, "h w d"], root: Float[Array | np.ndarray, "d d"]
) -> Float[Array, "h w c"]:
    """What the latents around every token are: its own and those of its eight neighbours, whitened; at a border the nearest."""
    h, w, _ = latents.shape
    padded = jnp.pad(jnp.asarray(latents) @ root, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return jnp.concatenate([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=-1)


def look_up_band(stencils: TokenStencils, latents: Float[Array, "h w d"]) -> Float[Array, "h w b d d"]:
    """The band of a grid: for every two neighbours the mean of what both their stencils say of them.

    Args:
        stencils: The stencils.
        latents: What the encoder made of an image.

    Returns:
        Symmetric, as `geovq.metric.band.band_of_windows` orders it; 0 with tokens beyond the grid.
    """
    h, w, d = latents.shape
    contexts = contexts_of(latents, jnp.asarray(stencils.root))
    nearest: Int[Array, " t"] = nearest_codes(contexts.reshape(h * w, -1), jnp.asarray(stencils.centres))
    own = jnp.asarray(stencils.blocks)[nearest].reshape(h, w, -1, d, d)
    b = own.shape[2]
    reach = round(b**0.5) // 2
    padded = jnp.pad(own, ((reach, reach), (reach, reach), *[(0, 0)] * 3))
    blocks = []
    for index, (down, right) in enumerate(Lattice((h, w, d), reach, 2 * reach + 1).offsets):
        theirs = padded[reach + down : reach + down + h, reach + right : reach + right + w, b - 1 - index]
        inside = ((jnp.arange(h) + down >= 0) & (jnp.arange(h) + down < h))[:, None] & (
            (jnp.arange(w) + right >= 0) & (jnp.arange(w) + right < w)
        )[None]
        both = (own[:, :, index] + theirs.swapaxes(-1, -2)) / 2
        blocks.append(jnp.where(inside[:, :, None, None], both, jnp.zeros((1,) * 4, both.dtype)))
    return jnp.stack(blocks, axis=2)
