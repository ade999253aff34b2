"""The nearest code of every latent, by itself: in Euclidean distance or under a metric.

Codes are (S, K, d), of which every token gets one code each (`geovq.numerics.additive`). Nothing depends on the batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from geovq.batching.chunks import map_chunks
from geovq.numerics.linalg import eigen_root

_CHUNK = 16384
"""Latents of a call."""

_BLOCK = 512
"""Latents at once within a call on a CPU, whose distances to some hundred codes stay in the cache."""

SWEEPS = 3
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


def nearest_tokens(
    latents: Float[np.ndarray, "n d"],
    codes: Float[np.ndarray, "S K d"],
    *,
    sweeps: int = SWEEPS,
    mesh: Mesh | None = None,
) -> Int[np.ndarray, "n S"]:
    """Nearest codes in Euclidean distance.

    Args:
        latents: (n, d).
        codes: (S, K, d).
        sweeps: Times that each of several codes is chosen again while the others stay. With 0 every quantizer takes the code
            that is nearest to the residual of the ones before, as a residual VQ does.
        mesh: Devices, as `geovq.batching.plan.Plan` has them.

    Returns:
        Tokens int32 in 0..K-1.
    """
    return _choose(nearest_codes, latents, codes, sweeps=sweeps, mesh=mesh)


def nearest_tokens_whitened(
    latents: Float[np.ndarray, "n d"],
    codes: Float[np.ndarray, "S K d"],
    metric: Float[np.ndarray, "d d"],
    *,
    mesh: Mesh | None = None,
) -> Int[np.ndarray, "n S"]:
    """Nearest codes under one metric: Euclidean after a multiplication by its square root.

    Args:
        latents: (n, d).
        codes: (S, K, d).
        metric: Mean of JᵀJ (d, d).
        mesh: Devices, as `geovq.batching.plan.Plan` has them.

    Returns:
        Tokens, as `nearest_tokens`.
    """
    root = eigen_root(metric).astype(np.float32)
    return nearest_tokens(latents @ root, codes @ root, mesh=mesh)


def nearest_tokens_under(
    latents: Float[np.ndarray, "n d"], codes: Float[np.ndarray, "S K d"], metrics: Float[np.ndarray, "n d d"]
) -> Int[np.ndarray, "n S"]:
    """Nearest codes under each token's own metric: the least change of the image to first order.

    Args:
        latents: (n, d).
        codes: (S, K, d).
        metrics: Metric of every token (n, d, d).

    Returns:
        Tokens, as `nearest_tokens`.
    """
    return _choose(_nearest_codes_under, latents, codes, metrics)


def _choose(
    nearest: Callable,
    latents: Float[np.ndarray, "n d"],
    codes: Float[np.ndarray, "S K d"],
    *per_latent: np.ndarray,
    sweeps: int = SWEEPS,
    mesh: Mesh | None = None,
) -> Int[np.ndarray, "n S"]:
    """Tokens of all latents; `nearest` takes latents (n, d), codes (K, d) and what there is for each latent to indices (n,)."""
    # Distances are the same from any origin, and most precise from near the codes.
    origins = codes.mean(axis=1)
    shifted, origins = jax.device_put((codes - origins[:, None], origins))
    return map_chunks(
        lambda z, *others: _choose_chunk(nearest, sweeps, z, origins, shifted, *others),
        latents,
        *per_latent,
        chunk=_CHUNK,
        mesh=mesh,
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _choose_chunk(
    nearest: Callable,
    sweeps: int,
    z: Float[Array, "n d"],
    origins: Float[Array, "S d"],
    codes: Float[Array, "S K d"],
    *per_latent: Array,
) -> Int[Array, "n S"]:
    """Tokens of a chunk, block after block."""
    together = origins.sum(axis=0)
    if sweeps:  # the codes that are not chosen yet count as their means
        z, origins = z - together[None], jnp.zeros_like(origins)
    rows, n = (z, *per_latent), len(z)

    def of_block(rows: tuple[Array, ...]) -> Int[Array, "m S"]:
        return _descend(nearest, sweeps, rows[0], origins, codes, *rows[1:])

    if jax.default_backend() != "cpu" or n <= _BLOCK:
        return of_block(rows)
    whole = n - n % _BLOCK
    blocks = jax.tree.map(lambda x: x[:whole].reshape(-1, _BLOCK, *x.shape[1:]), rows)
    found = jax.lax.map(of_block, blocks).reshape(whole, len(codes))
    return found if whole == n else jnp.concatenate([found, of_block(jax.tree.map(lambda x: x[whole:], rows))])


def _descend(
    nearest: Callable,
    sweeps: int,
    residual: Float[Array, "n d"],
    origins: Float[Array, "S d"],
    codes: Float[Array, "S K d"],
    *per_latent: Array,
) -> Int[Array, "n S"]:
    """Tokens quantizer after quantizer, then each again while the others stay.

    With one quantizer, or quantizers that are orthogonal under the metric, no other sum of codes is nearer.
    """
    count = len(codes)

    def choose(s: Array | int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        residual, found = state
        residual = residual - origins[s][None]
        chosen = nearest(residual, codes[s], *per_latent)
        return residual - codes[s][chosen], found.at[s].set(chosen)

    def choose_again(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        residual, found = state
        s = step % count
        residual = residual + codes[s][found[s]]
        chosen = nearest(residual, codes[s], *per_latent)
        return residual - codes[s][chosen], found.at[s].set(chosen)

    state = residual, jnp.zeros((count, len(residual)), jnp.int32)
    if count == 1:
        return choose(0, state)[1].T
    state = jax.lax.fori_loop(0, count, choose, state)
    return jax.lax.fori_loop(0, sweeps * count, choose_again, state)[1].T
