"""The pullback metric of a decoder at one latent or one grid, exact or sketched, and what it measures.

A decoder D maps a latent to an image. A small step v of the latent moves the image by √(vᵀGv) with G = JᵀJ, J = ∂D/∂z: the
pullback of the Euclidean metric of image space (Arvanitidis, Hansen & Hauberg 2018, "Latent Space Oddity"). These kernels are for
one point and differentiable; `geovq.metric.batched` runs them over many.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geovq.decoder.adapters import AnyArray, Decoder, flat
from geovq.numerics.linalg import quadratic_form

_PRECISION = "highest"  # accelerators would round the factors of a product to ten bits or so

VOLUME_FLOOR = 1e-7
"""Eigenvalues below this fraction of the largest one count as that: rounding to float32 leaves as much of a true zero."""


def pullback_metric(decode: Decoder, z: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Metric JᵀJ that `decode` induces at one latent.

    Args:
        decode: Takes one latent (d,) to one image of any shape, in intensity units.
        z: Latent (d,).

    Returns:
        Symmetric positive semi-definite (d, d), in float32 at least: for a small step v, vᵀGv is the squared distance that the
        image moves, in intensity².
    """
    image, push = jax.linearize(lambda latent: flat(decode, latent), z)
    return nan_unless_finite(image, _gram(jax.vmap(push)(jnp.eye(z.size, dtype=z.dtype))))


def grid_metric(decode: Decoder, grid: Float[Array, "h w d"], *, tokens: int | None = None) -> Float[Array, "h w d d"]:
    """Metric JᵀJ of every token of one grid in its own context, that is, with the grid's other latents held fixed.

    All tangents of the grid share one linearisation.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape, in intensity units.
        grid: Latents (h, w, d).
        tokens: Tokens whose d tangents are pushed forward at once; bounds the memory. None pushes all.

    Returns:
        (h, w, d, d), each symmetric positive semi-definite, in float32 at least, in intensity² per latent².
    """
    h, w, d = grid.shape
    image, push = jax.linearize(lambda latents: flat(decode, latents), grid)

    dims = jnp.arange(d)

    def of_token(index: Array) -> Array:
        steps = jnp.zeros((d, h * w, d), grid.dtype).at[dims, index, dims].set(1)
        return _gram(jax.vmap(push)(steps.reshape(d, h, w, d)))

    indices = jnp.arange(h * w)
    whole = tokens is None or tokens >= h * w
    metrics = jax.vmap(of_token)(indices) if whole else jax.lax.map(of_token, indices, batch_size=tokens)
    return nan_unless_finite(image, metrics.reshape(h, w, d, d))


def sketch(
    decode: Decoder,
    latent: Float[Array, "..."],
    probes: int,
    key: PRNGKeyArray,
    *,
    first: int | Int[Array, ""] = 0,
    count: int | None = None,
) -> Float[Array, "r ..."]:
    """Sketch S = ΩJ of the whole Jacobian by r random probes of the image, in reverse mode.

    The entries of Ω (r, p) are ±1/√r with even odds, so E[ΩᵀΩ] = I and E[SᵀS] = JᵀJ: with S of one token, SᵀS estimates its
    metric without bias, and ‖SΔ‖² the squared move of the image by a step Δ of all tokens together. (Hutchinson 1989's probes,
    as a Johnson-Lindenstrauss map; Achlioptas 2003.)

    Args:
        decode: Takes one latent to one image of any shape.
        latent: Latent of any shape: (d,) or (h, w, d).
        probes: r, their number; at least 1. The relative standard deviation of a squared length is at most √(2/r).
        key: Of the probes.
        first: The first row of S that is computed, where memory does not hold all products at once.
        count: Rows from that one on; those behind the last of the r are zero. None computes all.

    Returns:
        (r, *latent.shape), or so many of its rows, in float32 at least, in intensity per latent.
    """
    image, transpose = jax.vjp(lambda z: flat(decode, z), latent)
    signs = jax.random.rademacher(key, (probes, image.size), image.dtype)
    if count is not None:
        rows = first + jnp.arange(count)
        signs = jnp.where((rows < probes)[:, None], signs[jnp.minimum(rows, probes - 1)], jnp.zeros_like(signs[:1]))
    factor = jax.vmap(lambda probe: transpose(probe)[0])(signs)
    wide = jnp.promote_types(factor.dtype, jnp.float32)  # 1/√r rounded to bfloat16 would bias every metric
    return nan_unless_finite(image, factor.astype(wide) / jnp.sqrt(probes).astype(wide))


def sketched_metric(factor: Float[Array, "r ... d"]) -> Float[Array, "... d d"]:
    """Metrics SᵀS of a sketch, one for each token: (r, h, w, d) -> (h, w, d, d), or (r, d) -> (d, d)."""
    by_token = jnp.moveaxis(factor, 0, -1)
    return _gram(by_token)


def nan_unless_finite(image: Float[Array, "..."], found: Array) -> Array:
    """An image with NaN may have finite derivatives, and no metric."""
    return jnp.where(jnp.isfinite(image).all(), found, jnp.nan)


def _gram(rows: Float[Array, "... d p"]) -> Float[Array, "... d d"]:
    """Inner products of rows, accumulated in float32 at least."""
    wide = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(rows, rows.swapaxes(-1, -2), precision=_PRECISION, preferred_element_type=wide)


def inner(metric: Float[AnyArray, "d d"], u: Float[AnyArray, " d"], v: Float[AnyArray, " d"]) -> Float[Array, ""]:
    """Inner product uᵀGv of two steps, in intensity²."""
    return jnp.einsum("i,ij,j->", u, metric, v, precision=_PRECISION)


def norm(metric: Float[AnyArray, "d d"], v: Float[AnyArray, " d"]) -> Float[Array, ""]:
    """Length √(vᵀGv) of a step, in intensity units; its gradient at 0 is 0."""
    square = quadratic_form(jnp.asarray(v), jnp.asarray(metric))
    positive = square > 0  # rounding may leave a square just below zero
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def log_volume(metric: Float[Array, "... d d"], floor: float = VOLUME_FLOOR) -> Float[Array, "..."]:
    """Logarithm of the magnification √det G: how much image volume a unit of latent volume becomes.

    Most tokens have directions that the decoder ignores; their determinant is 0 up to rounding, and its logarithm noise. So
    eigenvalues below `floor` times the largest count as that. (Bishop, Svensén & Williams 1997,
    "Magnification factors for the GTM algorithm"; √det G is the volume element of a Riemannian metric.)

    Args:
        metric: Metrics (..., d, d); exact ones, or sketches of more probes than d: others have no volume.
        floor: Fraction of the largest eigenvalue, in (0, 1); 0 leaves the eigenvalues as they are.

    Returns:
        (...), in units of log(intensity per latent), summed over the d directions; -inf where the metric is 0.
    """
    eigenvalues = jnp.linalg.eigvalsh(metric)
    return 0.5 * jnp.sum(jnp.log(jnp.maximum(eigenvalues, floor * eigenvalues[..., -1:])), axis=-1)


def volume(metric: Float[Array, "... d d"], floor: float = VOLUME_FLOOR) -> Float[Array, "..."]:
    """Magnification √det G, the exponential of `log_volume`; it may overflow float32 where the logarithm does not."""
    return jnp.exp(log_volume(metric, floor))
