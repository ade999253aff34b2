"""Pullback metrics of a decoder, and the lengths that they give to edges.

A decoder D maps a latent to an image. A small step v of the latent moves the image by √(vᵀGv) with G = JᵀJ, J = ∂D/∂z: the
pullback of the Euclidean metric of image space (Arvanitidis, Hansen & Hauberg 2018, "Latent Space Oddity"). The kernels are
written for one latent or one grid; chunks, batches and compilation are outside them.

A decoder is passed as a function, or as a `jax.tree_util.Partial` of a function and its parameters: then other parameters do
not compile again.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.checks import InputError, check_finite, check_points
from geovq.chunks import Progress, map_chunks

Decoder = Callable[[Array], Array]
"""One latent, of any shape, to one image, of any shape, in intensity units."""

_PRECISION = "highest"  # accelerators would round the factors of a product to ten bits or so

_TANGENTS = 16384
"""Forward passes that an accelerator makes at once."""


def pullback_metric(decode: Decoder, z: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Metric JᵀJ that `decode` induces at one latent.

    Args:
        decode: Takes one latent (d,) to one image of any shape, in intensity units.
        z: Latent (d,).

    Returns:
        Symmetric positive semi-definite (d, d): for a small step v, vᵀGv is the squared distance that the image moves,
        in intensity².
    """
    jacobian_t = _jacobian_t(decode, z)
    return jnp.matmul(jacobian_t, jacobian_t.T, precision=_PRECISION)


def grid_metric(decode: Decoder, grid: Float[Array, "h w d"]) -> Float[Array, "h w d d"]:
    """Metric JᵀJ of every token of one grid in its own context, that is, with the grid's other latents held fixed.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape, in intensity units.
        grid: Latents (h, w, d).

    Returns:
        (h, w, d, d), each symmetric positive semi-definite, in intensity² per latent².
    """
    h, w, d = grid.shape
    jacobian_t = _jacobian_t(decode, grid).reshape(h, w, d, -1)
    return jnp.einsum("hwip,hwjp->hwij", jacobian_t, jacobian_t, precision=_PRECISION)


def _jacobian_t(decode: Decoder, z: Array) -> Array:
    """Transposed Jacobian (z.size, p), in forward mode since images have more pixels than latents have dimensions."""
    _, push = jax.linearize(lambda latent: decode(latent).ravel(), z)
    basis = jnp.eye(z.size, dtype=z.dtype).reshape(z.size, *z.shape)
    return jax.vmap(push)(basis)


_metrics_of_points = jax.jit(jax.vmap(pullback_metric, in_axes=(None, 0)))
_metrics_of_grids = jax.jit(jax.vmap(grid_metric, in_axes=(None, 0)))


def pullback_metrics(
    decode: Decoder, z: Float[np.ndarray, "n d"], *, chunk: int | None = None, progress: Progress | None = None
) -> Float[np.ndarray, "n d d"]:
    """`pullback_metric` at n latents.

    Args:
        decode: Takes one latent (d,) to one image of any shape.
        z: Latents (n, d).
        chunk: Latents per call; None takes 8 on a CPU, where small chunks are the fastest, and more elsewhere.
        progress: Called after every chunk.

    Returns:
        (n, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, or a decoder that gives NaN.
    """
    z = check_points("latents", z)
    metrics = map_chunks(
        lambda rows: _metrics_of_points(_as_pytree(decode), rows),
        z,
        chunk=_chunk(chunk, 8, z.shape[1]),
        progress=progress,
    )
    return _check_metrics(metrics)


def token_metrics(
    decode: Decoder, grids: Float[np.ndarray, "n h w d"], *, chunk: int | None = None, progress: Progress | None = None
) -> Float[np.ndarray, "n h w d d"]:
    """`grid_metric` of n grids: the metric of every token in its own context.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape.
        grids: Latents (n, h, w, d).
        chunk: Grids per call; None takes 1 on a CPU, where h·w·d tangents fill the cores already, and more elsewhere.
        progress: Called after every chunk.

    Returns:
        (n, h, w, d, d), on the host, in intensity².

    Raises:
        InputError: Latents of another rank, NaN or infinite latents, or a decoder that gives NaN.
    """
    grids = np.asarray(grids)
    if grids.ndim != 4 or grids.size == 0:
        raise InputError(f"latents: expected non-empty grids (n, h, w, d), found shape {grids.shape}; add the axes.")
    check_finite("latents", grids)
    metrics = map_chunks(
        lambda rows: _metrics_of_grids(_as_pytree(decode), rows),
        grids,
        chunk=_chunk(chunk, 1, grids[0].size),
        progress=progress,
    )
    return _check_metrics(metrics)


def edge_length(
    step: Float[Array, " d"], metric_a: Float[Array, "d d"], metric_b: Float[Array, "d d"]
) -> Float[Array, ""]:
    """Length of one straight edge by the trapezoid rule: the mean of its length under the metrics at either end.

    Args:
        step: Difference of the two latents.
        metric_a: Metric at one end.
        metric_b: Metric at the other.

    Returns:
        ½(√(ΔᵀG_aΔ) + √(ΔᵀG_bΔ)), in intensity units.
    """
    squares = jnp.einsum("i,eij,j->e", step, jnp.stack([metric_a, metric_b]), step, precision=_PRECISION)
    return jnp.sqrt(jnp.maximum(squares, 0)).mean()  # rounding may leave a square just below zero


_edge_lengths = jax.jit(jax.vmap(edge_length))


def edge_lengths(
    z: Float[np.ndarray, "n d"],
    metrics: Float[np.ndarray, "n d d"],
    senders: Int[np.ndarray, " m"],
    receivers: Int[np.ndarray, " m"],
    *,
    chunk: int = 16384,
) -> Float[np.ndarray, " m"]:
    """`edge_length` of m edges, from metrics that were computed once per latent.

    Args:
        z: Latents (n, d).
        metrics: Metric at each (n, d, d).
        senders: One end of every edge, in 0..n-1.
        receivers: The other end.
        chunk: Edges per call; bounds the memory at about 8·chunk·d² bytes.

    Returns:
        Lengths (m,), in intensity units.

    Raises:
        InputError: Shapes that do not fit, or edges outside 0..n-1.
    """
    z, metrics, senders, receivers = map(np.asarray, (z, metrics, senders, receivers))
    n, d = z.shape
    if metrics.shape != (n, d, d):
        raise InputError(f"metrics: expected shape {(n, d, d)}, found {metrics.shape}; give one metric per latent.")
    if senders.shape != receivers.shape or senders.ndim != 1:
        raise InputError(f"edges: expected two lists of equal length, found {senders.shape} and {receivers.shape}.")
    if senders.size == 0:
        return np.zeros(0, metrics.dtype)
    low, high = min(senders.min(), receivers.min()), max(senders.max(), receivers.max())
    if low < 0 or high >= n:
        raise InputError(f"edges: expected ends in 0..{n - 1}, found {low}..{high}; the graph is of other latents.")
    return map_chunks(lambda i, j: _edge_lengths(z[j] - z[i], metrics[i], metrics[j]), senders, receivers, chunk=chunk)


def _as_pytree(decode: Decoder) -> Partial:
    return decode if isinstance(decode, Partial) else Partial(decode)


def _chunk(asked: int | None, cpu: int, tangents: int) -> int:
    if asked is None:
        return cpu if jax.default_backend() == "cpu" else max(1, _TANGENTS // tangents)
    if asked < 1:
        raise InputError(f"chunk: expected at least 1, found {asked}.")
    return asked


def _check_metrics(metrics: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(metrics).all(axis=(-2, -1))
    if bad.any():
        raise InputError(
            f"decoder: expected finite derivatives, found NaN or infinity at {int(bad.sum())} of {bad.size} latents, the "
            f"first at {tuple(int(i) for i in np.argwhere(bad)[0])}; check the decoder there."
        )
    return metrics
