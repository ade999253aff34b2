"""Latents -> tokens: which code stands for which latent. One function a distance, all with any codebook.

| name              | a code is near when                                          | cost of a token beyond the encoder |
|-------------------|--------------------------------------------------------------|------------------------------------|
| euclidean         | its latent is near                                           | K distances in R^d                 |
| whitened          | its latent is near under the mean metric of the data         | the same                           |
| whitened-position | the same, with the mean metric of the token's position       | the same                           |
| local             | the decoded image hardly changes, to first order, right here | d Jacobian-vector products         |
| geodesic          | a path of such small changes leads to it                     | the same, and a neighbour search   |

Here every token is assigned by itself; `geovq.assignment.joint`, `geovq.assignment.amortised` and `geovq.assignment.greedy`
assign all tokens of an image together. Codes are (K, d), or stages (S, K, d) of which every token gets one code each
(`geovq.numerics.additive`). Nothing depends on the batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.batching.chunks import map_chunks
from geovq.geometry.placed_codes import CodeField, nearest_along
from geovq.numerics.additive import as_quantizers
from geovq.numerics.linalg import eigen_root

_CHUNK = 16384
"""Latents of a call."""

_BLOCK = 512
"""Latents at once within a call on a CPU, whose distances to some hundred codes stay in the cache."""

_SWEEPS = 3
"""Times that each of several codes is chosen again while the others stay."""


def first_least(values: Float[Array, "K ..."]) -> Int[Array, "..."]:
    """Index of the least value along the first axis, the first of equals; K where one is NaN.

    Two plain reductions, which a CPU vectorises; argmin takes it six times as long.
    """
    k = len(values)
    indices = jnp.arange(k, dtype=jnp.int32).reshape(k, *(1,) * (values.ndim - 1))
    return jnp.min(jnp.where(values == values.min(axis=0, keepdims=True), indices, k), axis=0)


@jax.jit
def nearest_codes(z: Float[Array, "n d"], codes: Float[Array, "K d"]) -> Int[Array, " n"]:
    """Index of the Euclidean nearest code of every latent; the first of equals.

    ‖z‖² is the same for all codes and left out, so that it is one matrix product.
    """
    return first_least(0.5 * jnp.sum(codes**2, axis=-1)[:, None] - jnp.matmul(codes, z.T, precision="highest"))


def nearest_code_under(
    z: Float[Array, " d"], codes: Float[Array, "K d"], metric: Float[Array, "d d"]
) -> Int[Array, ""]:
    """Index of the code that minimises (c − z)ᵀG(c − z); the first of equals."""
    outer = codes[:, :, None] * codes[:, None, :]
    with jax.default_matmul_precision("highest"):
        squares = outer.reshape(len(codes), -1) @ metric.reshape(-1)  # cᵀGc, as one matrix product over a batch
        return first_least(squares - 2 * codes @ (metric @ z))


_nearest_codes_under = jax.vmap(nearest_code_under, in_axes=(0, None, 0))


def assign_euclidean(latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"]) -> Int[np.ndarray, " n"]:
    """Nearest code in latent distance.

    Args:
        latents: (n, d).
        codes: (K, d), or stages (S, K, d).

    Returns:
        Tokens int32 in 0..K-1: (n,), or (n, S) where codes have stages.
    """
    return _by_stages(nearest_codes, latents, codes)


def assign_whitened(
    latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"], mean_metric: Float[np.ndarray, "d d"]
) -> Int[np.ndarray, " n"]:
    """Nearest code under one metric, the data's mean: Euclidean after the latents are multiplied by its square root.

    Args:
        latents: (n, d).
        codes: (K, d), or stages (S, K, d).
        mean_metric: Mean of JᵀJ (d, d).

    Returns:
        Tokens, as `assign_euclidean`.
    """
    root = eigen_root(mean_metric)
    return assign_euclidean(latents @ root, codes @ root)


def assign_whitened_position(
    latents: Float[np.ndarray, "n h w d"],
    codes: Float[np.ndarray, "K d"],
    position_metrics: Float[np.ndarray, "h w d d"],
) -> Int[np.ndarray, "n h w"]:
    """Nearest code under the mean metric of the token's position in the grid.

    Args:
        latents: Grids (n, h, w, d).
        codes: (K, d), or stages (S, K, d).
        position_metrics: Mean of JᵀJ at each position (h, w, d, d).

    Returns:
        Tokens int32 in 0..K-1: (n, h, w), or (n, h, w, S) where codes have stages.
    """
    h, w = latents.shape[1:3]
    found = [assign_whitened(latents[:, i, j], codes, position_metrics[i, j]) for i in range(h) for j in range(w)]
    return np.stack(found, axis=1).reshape(len(latents), h, w, *found[0].shape[1:])


def assign_local(
    latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "K d"], metrics: Float[np.ndarray, "n d d"]
) -> Int[np.ndarray, " n"]:
    """Nearest code under each token's own metric: the least change of the image to first order.

    Args:
        latents: (n, d).
        codes: (K, d), or stages (S, K, d).
        metrics: Metric of every token (n, d, d).

    Returns:
        Tokens, as `assign_euclidean`.
    """
    return _by_stages(_nearest_codes_under, latents, codes, metrics)


def _by_stages(nearest: Callable, latents: np.ndarray, codes: np.ndarray, *per_latent: np.ndarray) -> np.ndarray:
    """Tokens of all latents; `nearest` takes latents (n, d), codes (K, d) and what there is for each latent to indices (n,)."""
    stages = as_quantizers(codes)
    # Distances are the same from any origin, and most precise from near the codes.
    origins = stages.mean(axis=1)
    shifted, origin = jax.device_put((stages - origins[:, None], origins.sum(axis=0)))
    tokens = map_chunks(
        lambda z, *others: _tokens(nearest, z, origin, shifted, *others), latents, *per_latent, chunk=_CHUNK
    )
    return tokens if np.ndim(codes) == 3 else tokens[:, 0]


@functools.partial(jax.jit, static_argnums=0)
def _tokens(
    nearest: Callable,
    z: Float[Array, "n d"],
    origin: Float[Array, " d"],
    stages: Float[Array, "S K d"],
    *per_latent: Array,
) -> Int[Array, "n S"]:
    """Tokens of a chunk, block after block."""
    rows, n = (z - origin[None], *per_latent), len(z)

    def of_block(rows: tuple[Array, ...]) -> Int[Array, "m S"]:
        return _descended(nearest, rows[0], stages, *rows[1:])

    if jax.default_backend() != "cpu" or n <= _BLOCK:
        return of_block(rows)
    whole = n - n % _BLOCK
    blocks = jax.tree.map(lambda x: x[:whole].reshape(-1, _BLOCK, *x.shape[1:]), rows)
    found = jax.lax.map(of_block, blocks).reshape(whole, len(stages))
    return found if whole == n else jnp.concatenate([found, of_block(jax.tree.map(lambda x: x[whole:], rows))])


def _descended(
    nearest: Callable, rest: Float[Array, "n d"], stages: Float[Array, "S K d"], *per_latent: Array
) -> Int[Array, "n S"]:
    """Tokens stage after stage, then each again while the others stay.

    With one stage, or stages that are orthogonal under the metric, no other sum of codes is nearer.
    """
    count = len(stages)
    found: list[Array] = []
    for s in range(count):
        found.append(nearest(rest, stages[s], *per_latent))
        rest = rest - stages[s][found[s]]
    for _ in range(_SWEEPS if count > 1 else 0):
        for s in range(count):
            rest = rest + stages[s][found[s]]
            found[s] = nearest(rest, stages[s], *per_latent)
            rest = rest - stages[s][found[s]]
    return jnp.stack(found, axis=-1)


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
