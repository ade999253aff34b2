"""The squared error of an image around one grid of latents, to first order in the latents: what all tokens together change.

With D(Z + Δ) ≈ D(Z) + JΔ the error ‖x − D(Z + Δ)‖² is ‖r‖² − 2 (Jᵀr)ᵀΔ + ΔᵀJᵀJΔ, r = x − D(Z). JᵀJ (t·d, t·d) holds the metric of
every token on its diagonal and, beside it, how moves of two tokens add up or cancel in the image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geovq.assignment.nearest_codes import first_least
from geovq.assignment.subspace import Directions
from geovq.decoder.adapters import Decoder, flat
from geovq.numerics.additive import sum_codes

_PRECISION = "highest"


class Quadratic(NamedTuple):
    """The linearised error of a step Δ from the origin, up to a constant; intensity².

    It is gradientᵀΔ + yᵀ gram y + Σ Δ_qᵀ own_q Δ_q with the coordinates y_q = coordinates_q Δ_q of every token q.
    """

    origin: Float[Array, "t d"]
    gradient: Float[Array, "t d"]
    """Of the error, −2 Jᵀr."""
    coordinates: Float[Array, "t r d"]
    gram: Float[Array, "t r t r"]
    """JᵀJ in these coordinates."""
    own: Float[Array, "t d d"]
    """What a step of one token costs beside that, whatever the others do."""


def exact_quadratic(
    decode: Decoder, grid: Float[Array, "h w d"], image: Float[Array, "H W C"], *, tokens: int
) -> Quadratic:
    """The error around a grid from the whole Jacobian, by t·d forward-mode products that share one linearisation.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        image: The target x.
        tokens: Tokens whose tangents are pushed forward at once; bounds the memory.

    Returns:
        The quadratic.
    """
    h, w, d = grid.shape
    t = h * w
    found, push = jax.linearize(lambda z: flat(decode, z), grid)
    basis = jnp.eye(t * d, dtype=grid.dtype).reshape(t, d, h, w, d)
    rows = jax.lax.map(jax.vmap(push), basis, batch_size=tokens) if tokens < t else jax.vmap(jax.vmap(push))(basis)
    rows = rows.reshape(t * d, -1)
    gram = jnp.matmul(rows, rows.T, precision=_PRECISION)
    gradient = -2 * jnp.matmul(rows, image.ravel() - found, precision=_PRECISION)
    coordinates = jnp.broadcast_to(jnp.eye(d, dtype=grid.dtype), (t, d, d))
    own = jnp.zeros_like(coordinates)
    return Quadratic(grid.reshape(t, d), gradient.reshape(t, d), coordinates, gram.reshape(t, d, t, d), own)


def projected_quadratic(
    decode: Decoder, grid: Float[Array, "h w d"], image: Float[Array, "H W C"], directions: Directions, *, at_once: int
) -> Quadratic:
    """The error around a grid with its exact gradient, and JᵀJ along the directions that move the image most.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        image: The target x.
        directions: Along them JᵀJ is exact; on the residual it is the mean metric.
        at_once: Directions that are pushed forward at once; bounds the memory.

    Returns:
        The quadratic.
    """
    gram = projected_gram(decode, grid, directions, at_once=at_once)
    coordinates, residual = jnp.asarray(directions.coordinates), jnp.asarray(directions.residual)
    return Quadratic(grid.reshape(len(residual), -1), error_gradient(decode, grid, image), coordinates, gram, residual)


def projected_gram(
    decode: Decoder, grid: Float[Array, "h w d"], directions: Directions, *, at_once: int
) -> Float[Array, "t r t r"]:
    """JᵀJ in the coordinates of the directions, by a forward-mode product for each; arguments as `projected_quadratic`."""
    steps, tokens, columns, coordinates, _ = jax.tree.map(jnp.asarray, directions)
    t, r, _ = coordinates.shape
    _, push = jax.linearize(lambda z: flat(decode, z), grid)
    rows = jax.lax.map(push, steps, batch_size=at_once) if at_once < len(steps) else jax.vmap(push)(steps)
    products = jnp.matmul(rows, rows.T, precision=_PRECISION)
    gram = jnp.zeros((t, r, t, r), products.dtype)
    return gram.at[tokens[:, None], columns[:, None], tokens, columns].set(products)


def error_gradient(decode: Decoder, grid: Float[Array, "h w d"], image: Float[Array, "H W C"]) -> Float[Array, "t d"]:
    """The gradient −2 Jᵀr alone, by one reverse-mode product; arguments as `exact_quadratic`."""
    found, transpose = jax.vjp(lambda z: flat(decode, z), grid)
    return -2 * transpose(image.ravel() - found)[0].reshape(-1, grid.shape[-1])


def damp(quadratic: Quadratic, metrics: Float[Array, "t d d"], damping: Float[Array, ""]) -> Quadratic:
    """The quadratic with λ·ΔᵀḠΔ added, which keeps steps where the linearisation holds (Levenberg 1944, Marquardt 1963).

    Args:
        quadratic: The linearised error.
        metrics: Ḡ, a mean metric for each position.
        damping: λ >= 0.

    Returns:
        The damped one.
    """
    return quadratic._replace(own=quadratic.own + damping * metrics)


def descend(
    quadratic: Quadratic,
    codes: Float[Array, "S K d"],
    tokens: Int[Array, "t S"],
    *,
    sweeps: int,
    code_costs: Float[Array, "t S K"] | None = None,
) -> Int[Array, "t S"]:
    """Coordinate descent: one code after the other becomes the best while all others stay.

    Args:
        quadratic: The error to lower.
        codes: Codes.
        tokens: Where it starts.
        sweeps: How often every code is chosen.
        code_costs: What every code of every token costs beside its part in the error, intensity²; None for nothing.

    Returns:
        Tokens that do not cost more than the start: the error of `quadratic` and the costs of their codes.
    """
    t, count = tokens.shape
    origin, gradient, coordinates, gram, own = quadratic
    indices = jnp.arange(t)
    within = jnp.einsum(
        "qri,qrs,qsj->qij", coordinates, gram[indices, :, indices, :], coordinates, precision=_PRECISION
    )
    # Two products: `own` alone differs in a batch of dampings, and `within` alone in a batch of images.
    squares = _squares(within, codes) + _squares(own, codes)
    if code_costs is not None:
        squares = squares + code_costs

    def choose(step: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tokens, move, y = state
        q, s = (step // count) % t, step % count
        others = move[q] - codes[s][tokens[q, s]]  # the step of this token without this code
        y = y.at[q].set(jnp.matmul(coordinates[q], others, precision=_PRECISION))
        pushed = jnp.einsum("irj,rj->i", gram[q], y, precision=_PRECISION)
        slope = jnp.matmul(own[q], others, precision=_PRECISION) + gradient[q] / 2
        slope = slope + jnp.matmul(pushed, coordinates[q], precision=_PRECISION)
        best = first_least(squares[q, s] + 2 * jnp.matmul(codes[s], slope, precision=_PRECISION)).astype(tokens.dtype)
        after = others + codes[s][best]
        y = y.at[q].set(jnp.matmul(coordinates[q], after, precision=_PRECISION))
        return tokens.at[q, s].set(best), move.at[q].set(after), y

    move = sum_codes(codes, tokens) - origin
    start = tokens, move, jnp.einsum("qri,qi->qr", coordinates, move, precision=_PRECISION)
    return jax.lax.fori_loop(0, sweeps * t * count, choose, start)[0]


def _squares(metrics: Float[Array, "t d d"], codes: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
    """cᵀGc of every code at every position, as one matrix product."""
    count, k, d = codes.shape
    outer = (codes[..., :, None] * codes[..., None, :]).reshape(count * k, d * d)
    return jnp.matmul(metrics.reshape(-1, d * d), outer.T, precision=_PRECISION).reshape(-1, count, k)
