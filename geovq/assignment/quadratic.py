"""The squared error of an image around one grid of latents, to first order in the latents: what all tokens together change.

With D(Z + Δ) ≈ D(Z) + JΔ the error ‖x − D(Z + Δ)‖² is ‖r‖² − 2 (Jᵀr)ᵀΔ + ΔᵀJᵀJΔ, r = x − D(Z). JᵀJ (t·d, t·d) holds the metric of
every token on its diagonal and, beside it, how moves of two tokens add up or cancel in the image. A record of the error holds JᵀJ
itself (`Quadratic`) or a factor S of an estimate SᵀS of it (`Sketched`), which is never multiplied out.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from geovq.assignment.banded import Banded
from geovq.assignment.nearest_codes import first_least
from geovq.assignment.subspace import Directions
from geovq.decoder.adapters import Decoder, flat
from geovq.numerics.additive import sum_codes

_PRECISION = "highest"

_UNROLLED = 4
"""Parts of the probes at most that are compiled one by one."""

_OUTER = 1 << 26
"""Numbers of all products of two entries of a code at most (256 MiB), with which cᵀGc is one matrix product for all positions."""


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

    def is_finite(self) -> Bool[Array, ""]:
        """Whether JᵀJ is."""
        return jnp.isfinite(self.gram).all()

    def squares(self, codes: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
        """What JᵀJ makes of every code at every position, cᵀGc."""
        indices = jnp.arange(len(self.origin))
        within = jnp.einsum(
            "qri,qrs,qsj->qij",
            self.coordinates,
            self.gram[indices, :, indices, :],
            self.coordinates,
            precision=_PRECISION,
        )
        return code_squares(within, codes)

    def state_of(self, move: Float[Array, "t d"]) -> Float[Array, "t r"]:
        """What `push` needs to know of a step: its coordinates."""
        return jnp.einsum("qri,qi->qr", self.coordinates, move, precision=_PRECISION)

    def replace_move(
        self, state: Float[Array, "t r"], q: Array, before: Float[Array, " d"], after: Float[Array, " d"]
    ) -> Float[Array, "t r"]:
        """The coordinates once token q makes the step `after` instead of `before`."""
        return state.at[q].set(jnp.matmul(self.coordinates[q], after, precision=_PRECISION))

    def push(self, state: Float[Array, "t r"], q: Array) -> Float[Array, " d"]:
        """Row q of JᵀJΔ, from the coordinates of all tokens."""
        pushed = jnp.einsum("irj,rj->i", self.gram[q], state, precision=_PRECISION)
        return jnp.matmul(pushed, self.coordinates[q], precision=_PRECISION)


class Sketched(NamedTuple):
    """The linearised error with JᵀJ estimated by SᵀS: gradientᵀΔ + ‖SΔ‖² + Σ Δ_qᵀ own_q Δ_q, intensity².

    It holds r·t·d numbers, where JᵀJ has (t·d)².
    """

    origin: Float[Array, "t d"]
    gradient: Float[Array, "t d"]
    """Of the error, −2 Jᵀr."""
    factor: Float[Array, "r t d"]
    """S = ΩJ, by r random probes of the image."""
    own: Float[Array, "t d d"]
    """What a step of one token costs beside that, whatever the others do."""

    def is_finite(self) -> Bool[Array, ""]:
        """Whether S is."""
        return jnp.isfinite(self.factor).all()

    def squares(self, codes: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
        """‖S_q c‖²: of fewer probes than channels position after position, otherwise by the metric of each position."""
        r, t, d = self.factor.shape
        if r < d:
            rows = codes.reshape(-1, d)

            def of_position(factor: Float[Array, "r d"]) -> Float[Array, " SK"]:
                return jnp.sum(jnp.matmul(rows, factor.T, precision=_PRECISION) ** 2, axis=-1)

            return jax.lax.map(of_position, self.factor.swapaxes(0, 1)).reshape(t, *codes.shape[:2])
        within = jnp.einsum("rqi,rqj->qij", self.factor, self.factor, precision=_PRECISION)
        return code_squares(within, codes)

    def state_of(self, move: Float[Array, "t d"]) -> Float[Array, " r"]:
        """What `push` needs to know of a step: SΔ."""
        return jnp.einsum("rqi,qi->r", self.factor, move, precision=_PRECISION)

    def replace_move(
        self, state: Float[Array, " r"], q: Array, before: Float[Array, " d"], after: Float[Array, " d"]
    ) -> Float[Array, " r"]:
        """SΔ once token q makes the step `after` instead of `before`."""
        return state + jnp.matmul(self.factor[:, q], after - before, precision=_PRECISION)

    def push(self, state: Float[Array, " r"], q: Array) -> Float[Array, " d"]:
        """Row q of SᵀSΔ."""
        return jnp.matmul(state, self.factor[:, q], precision=_PRECISION)


LinearisedError = Quadratic | Sketched | Banded


def exact_quadratic(
    decode: Decoder, grid: Float[Array, "h w d"], gradient: Float[Array, "t d"], *, tokens: int
) -> Quadratic:
    """The error around a grid from the whole Jacobian, by t·d forward-mode products that share one linearisation.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        gradient: Of the error there.
        tokens: Tokens whose tangents are pushed forward at once; bounds the memory.

    Returns:
        The quadratic.
    """
    h, w, d = grid.shape
    t = h * w
    _, push = jax.linearize(lambda z: flat(decode, z), grid)
    basis = jnp.eye(t * d, dtype=grid.dtype).reshape(t, d, h, w, d)
    rows = jax.lax.map(jax.vmap(push), basis, batch_size=tokens) if tokens < t else jax.vmap(jax.vmap(push))(basis)
    rows = rows.reshape(t * d, -1)
    gram = jnp.matmul(rows, rows.T, precision=_PRECISION)
    coordinates = jnp.broadcast_to(jnp.eye(d, dtype=grid.dtype), (t, d, d))
    own = jnp.zeros_like(coordinates)
    return Quadratic(grid.reshape(t, d), gradient, coordinates, gram.reshape(t, d, t, d), own)


def projected_quadratic(
    decode: Decoder,
    grid: Float[Array, "h w d"],
    gradient: Float[Array, "t d"],
    directions: Directions,
    *,
    at_once: int,
) -> Quadratic:
    """The error around a grid with JᵀJ along the directions that move the image most.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        gradient: Of the error there.
        directions: Along them JᵀJ is exact; on the residual it is the mean metric.
        at_once: Directions that are pushed forward at once; bounds the memory.

    Returns:
        The quadratic.
    """
    gram = projected_gram(decode, grid, directions, at_once=at_once)
    coordinates, residual = jnp.asarray(directions.coordinates), jnp.asarray(directions.residual)
    return Quadratic(grid.reshape(len(residual), -1), gradient, coordinates, gram, residual)


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


def sketched_quadratic(
    decode: Decoder,
    grid: Float[Array, "h w d"],
    gradient: Float[Array, "t d"],
    probes: int,
    key: PRNGKeyArray,
    *,
    at_once: int,
) -> Sketched:
    """The error around a grid with JᵀJ sketched by r reverse-mode products.

    Args:
        decode: Takes one grid to one image.
        grid: The origin Z.
        gradient: Of the error there.
        probes: r, random signs over √r, as in `geovq.metric.pullback.sketch`.
        key: Of the probes.
        at_once: Probes that are pulled back at once; bounds the memory.

    Returns:
        The quadratic.
    """
    found, transpose = jax.vjp(lambda z: flat(decode, z), grid)
    d = grid.shape[-1]
    signs = jax.random.rademacher(key, (probes, found.size), found.dtype) / math.sqrt(probes)
    gradients = jax.vmap(lambda probe: transpose(probe)[0])
    # Up to four parts are compiled one by one, since the gradients of convolutions in a loop are slow on a CPU. More of them
    # would take minutes to compile, so they run in a loop.
    if probes <= _UNROLLED * at_once:
        factor = jnp.concatenate([gradients(signs[i : i + at_once]) for i in range(0, probes, at_once)])
    else:
        factor = jax.lax.map(lambda probe: transpose(probe)[0], signs, batch_size=at_once)
    own = jnp.zeros((len(gradient), d, d), grid.dtype)
    return Sketched(grid.reshape(-1, d), gradient, factor.reshape(probes, -1, d), own)


def damp(quadratic: LinearisedError, metrics: Float[Array, "t d d"], damping: Float[Array, ""]) -> LinearisedError:
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
    quadratic: LinearisedError,
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
    if isinstance(quadratic, Banded):
        return quadratic.descend(codes, tokens, sweeps=sweeps, code_costs=code_costs)
    t, count = tokens.shape
    own = quadratic.own
    # Two products: `own` alone differs in a batch of dampings, and the curvature alone in a batch of images.
    squares = quadratic.squares(codes) + code_squares(own, codes)
    if code_costs is not None:
        squares = squares + code_costs

    def choose(step: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tokens, move, image_state = state
        q, s = (step // count) % t, step % count
        others = move[q] - codes[s][tokens[q, s]]  # the step of this token without this code
        image_state = quadratic.replace_move(image_state, q, move[q], others)
        slope = jnp.matmul(own[q], others, precision=_PRECISION) + quadratic.gradient[q] / 2
        slope = slope + quadratic.push(image_state, q)
        best = first_least(squares[q, s] + 2 * jnp.matmul(codes[s], slope, precision=_PRECISION)).astype(tokens.dtype)
        after = others + codes[s][best]
        image_state = quadratic.replace_move(image_state, q, others, after)
        return tokens.at[q, s].set(best), move.at[q].set(after), image_state

    move = sum_codes(codes, tokens) - quadratic.origin
    return jax.lax.fori_loop(0, sweeps * t * count, choose, (tokens, move, quadratic.state_of(move)))[0]


def code_squares(metrics: Float[Array, "t d d"], codes: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
    """cᵀGc of every code at every position: one matrix product, or one for each position where that would take much memory."""
    count, k, d = codes.shape
    if count * k * d**2 > _OUTER:
        rows = codes.reshape(-1, d)
        found = jax.lax.map(
            lambda metric: jnp.sum(jnp.matmul(rows, metric, precision=_PRECISION) * rows, axis=-1), metrics
        )
        return found.reshape(-1, count, k)
    outer = (codes[..., :, None] * codes[..., None, :]).reshape(count * k, d * d)
    return jnp.matmul(metrics.reshape(-1, d * d), outer.T, precision=_PRECISION).reshape(-1, count, k)
