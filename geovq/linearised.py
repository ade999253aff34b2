"""The squared error of an image around one grid of latents, to first order in the latents: what all tokens together change.

With D(Z + Δ) ≈ D(Z) + JΔ the error ‖x − D(Z + Δ)‖² is ‖r‖² − 2 (Jᵀr)ᵀΔ + ΔᵀJᵀJΔ, r = x − D(Z). JᵀJ (t·d, t·d) holds the metric of
every token on its diagonal and, beside it, how moves of two tokens add up or cancel in the image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geovq.additive import summed
from geovq.assign import first_least
from geovq.decoders import Decoder, flat
from geovq.directions import Directions

_PRECISION = "highest"


class Quadratic(NamedTuple):
    """The linearised error −2 pullᵀΔ + Δᵀ gram Δ of a step Δ from the origin, up to a constant; intensity²."""

    origin: Float[Array, "t d"]
    gram: Float[Array, "t d t d"]
    """JᵀJ."""
    pull: Float[Array, "t d"]
    """Jᵀr, half the negative gradient of the error."""


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
    moment = jnp.matmul(rows, image.ravel() - found, precision=_PRECISION)
    return Quadratic(grid.reshape(t, d), gram.reshape(t, d, t, d), moment.reshape(t, d))


def projected_quadratic(
    decode: Decoder, grid: Float[Array, "h w d"], image: Float[Array, "H W C"], directions: Directions, *, at_once: int
) -> Quadratic:
    """The error around a grid with its exact gradient and JᵀJ from r products, along the directions that move the image most.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        image: The target x.
        directions: Along them JᵀJ is exact; of what is left over it has the mean metric.
        at_once: Directions that are pushed forward at once; bounds the memory.

    Returns:
        The quadratic.
    """
    h, w, d = grid.shape
    steps, duals, rest = directions
    _, push = jax.linearize(lambda z: flat(decode, z), grid)
    rows = jax.lax.map(push, steps, batch_size=at_once) if at_once < len(steps) else jax.vmap(push)(steps)
    products = jnp.matmul(rows, rows.T, precision=_PRECISION)
    gram = jnp.einsum("rqi,rs,spj->qipj", duals, products, duals, precision=_PRECISION)
    t = jnp.arange(h * w)
    return Quadratic(grid.reshape(h * w, d), gram.at[t, :, t, :].add(rest), pull(decode, grid, image))


def pull(decode: Decoder, grid: Float[Array, "h w d"], image: Float[Array, "H W C"]) -> Float[Array, "t d"]:
    """Jᵀr alone, by one reverse-mode product; arguments as `exact_quadratic`."""
    found, pull_back = jax.vjp(lambda z: flat(decode, z), grid)
    return pull_back(image.ravel() - found)[0].reshape(-1, grid.shape[-1])


def damped(quadratic: Quadratic, metrics: Float[Array, "t d d"], damping: Float[Array, ""]) -> Quadratic:
    """The quadratic with λ·ΔᵀḠΔ added, which keeps steps where the linearisation holds (Levenberg 1944, Marquardt 1963).

    Args:
        quadratic: The linearised error.
        metrics: Ḡ, a mean metric for each position.
        damping: λ >= 0.

    Returns:
        The damped one.
    """
    t = jnp.arange(len(metrics))
    return quadratic._replace(gram=quadratic.gram.at[t, :, t, :].add(damping * metrics))


def descend(
    quadratic: Quadratic, stages: Float[Array, "S K d"], tokens: Int[Array, "t S"], *, sweeps: int
) -> Int[Array, "t S"]:
    """Coordinate descent: one code after the other becomes the best while all others stay.

    Args:
        quadratic: What is made small.
        stages: Codes.
        tokens: Where it starts.
        sweeps: Times that every code is chosen.

    Returns:
        Tokens of which no error of `quadratic` is above that of the start.
    """
    t, count = tokens.shape
    squares = _squares(quadratic.gram, stages)

    def choose(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        tokens, move = state
        q, s = (step // count) % t, step % count
        codes = stages[s]
        rest = move.at[q].add(-codes[tokens[q, s]])  # the step without this code
        slope = jnp.einsum("drj,rj->d", quadratic.gram[q], rest, precision=_PRECISION) - quadratic.pull[q]
        best = first_least(squares[q, s] + 2 * jnp.matmul(codes, slope, precision=_PRECISION)).astype(tokens.dtype)
        return tokens.at[q, s].set(best), rest.at[q].add(codes[best])

    start = tokens, summed(stages, tokens) - quadratic.origin
    return jax.lax.fori_loop(0, sweeps * t * count, choose, start)[0]


def _squares(gram: Float[Array, "t d t d"], stages: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
    """cᵀGc of every code at every position, as one matrix product."""
    count, k, d = stages.shape
    places = jnp.arange(len(gram))
    metrics = gram[places, :, places, :].reshape(-1, d * d)
    outer = (stages[..., :, None] * stages[..., None, :]).reshape(count * k, d * d)
    return jnp.matmul(metrics, outer.T, precision=_PRECISION).reshape(-1, count, k)
