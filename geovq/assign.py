"""Latents -> tokens: which code stands for which latent. One function a distance, all with any codebook.

| name      | a code is near when                                                  | cost of a token beyond the encoder    |
|-----------|----------------------------------------------------------------------|---------------------------------------|
| euclidean | its latent is near                                                   | K distances in R^d                    |
| whitened  | its latent is near under the mean metric of the data                 | the same                              |
| local     | the decoded image hardly changes, to first order, at this very token | d Jacobian-vector products            |
| geodesic  | a path of such small changes leads to it                             | the same, and a neighbour search      |

Every row is assigned by itself: the result does not depend on the batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.chunks import map_chunks
from geovq.geometry import CodeField, nearest_along

NEEDS_METRICS = ("local", "geodesic")
"""Assignments that need the metric of every token."""

_CHUNK = 4096


def nearest_code(z: Float[Array, " d"], codes: Float[Array, "K d"]) -> Int[Array, ""]:
    """Index of the Euclidean nearest code; the first of equals.

    ‖z‖² is the same for all codes and left out, so that a batch is one matrix product.
    """
    return jnp.argmin(0.5 * jnp.sum(codes**2, axis=-1) - jnp.matmul(codes, z, precision="highest"))


def nearest_code_under(
    z: Float[Array, " d"], metric: Float[Array, "d d"], codes: Float[Array, "K d"]
) -> Int[Array, ""]:
    """Index of the code that minimises (c − z)ᵀG(c − z); the first of equals."""
    outer = codes[:, :, None] * codes[:, None, :]
    with jax.default_matmul_precision("highest"):
        squares = outer.reshape(len(codes), -1) @ metric.reshape(-1)  # cᵀGc, as one matrix product over a batch
        return jnp.argmin(squares - 2 * codes @ (metric @ z))


_nearest_codes = jax.jit(jax.vmap(nearest_code, in_axes=(0, None)))
_nearest_codes_under = jax.jit(jax.vmap(nearest_code_under, in_axes=(0, 0, None)))


def assign_euclidean(latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"]) -> Int[np.ndarray, " n"]:
    """Nearest code in latent distance.

    Args:
        latents: (n, d).
        codes: (K, d).

    Returns:
        Tokens (n,) int32 in 0..K-1.
    """
    origin = codes.mean(axis=0)  # distances are the same from any origin, and most precise from near the codes
    shifted = np.asarray(codes - origin, np.float32)
    tokens = map_chunks(lambda z: _nearest_codes(z - origin, shifted), latents, chunk=_CHUNK)
    return np.asarray(tokens, np.int32)


def assign_whitened(
    latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"], mean_metric: Float[np.ndarray, "d d"]
) -> Int[np.ndarray, " n"]:
    """Nearest code under one metric, the data's mean: Euclidean after the latents are multiplied by its square root.

    Args:
        latents: (n, d).
        codes: (K, d).
        mean_metric: Mean of JᵀJ (d, d).

    Returns:
        Tokens (n,) int32 in 0..K-1.
    """
    root = square_root(mean_metric)
    return assign_euclidean(latents @ root, codes @ root)


def square_root(metric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Symmetric square root of a positive semi-definite matrix, float32; rounding below zero counts as zero."""
    values, vectors = np.linalg.eigh(metric.astype(np.float64))
    return ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)


def assign_local(
    latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"], metrics: Float[np.ndarray, "n d d"]
) -> Int[np.ndarray, " n"]:
    """Nearest code under each token's own metric: the least change of the image to first order.

    Args:
        latents: (n, d).
        codes: (K, d).
        metrics: Metric of every token (n, d, d).

    Returns:
        Tokens (n,) int32 in 0..K-1.
    """
    origin = codes.mean(axis=0)
    shifted = np.asarray(codes - origin, np.float32)
    tokens = map_chunks(lambda z, g: _nearest_codes_under(z - origin, g, shifted), latents, metrics, chunk=_CHUNK)
    return np.asarray(tokens, np.int32)


def assign_geodesic(
    latents: Float[np.ndarray, "n d"], metrics: Float[np.ndarray, "n d d"], field: CodeField
) -> Int[np.ndarray, " n"]:
    """Nearest code along the graph of measured latents.

    Args:
        latents: (n, d).
        metrics: Metric of every token (n, d, d).
        field: The codes in that graph, `geometry.place_codes`.

    Returns:
        Tokens (n,) int32 in 0..K-1; K, which no decoder takes, where no code can be reached, which happens only in a graph
        whose components were left apart (components="drop").
    """
    return nearest_along(field, latents, metrics)[0]
