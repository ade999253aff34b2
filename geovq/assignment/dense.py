"""JᵀJ of a grid in which every token interacts with every other: they choose their codes one after the other.

With D(Z + Δ) ≈ D(Z) + JΔ the error ‖x − D(Z + Δ)‖² is ‖r‖² − 2 (Jᵀr)ᵀΔ + ΔᵀJᵀJΔ, r = x − D(Z). JᵀJ (t·d, t·d) holds the metric of
every token on its diagonal and, beside it, how moves of two tokens add up or cancel in the image. It is held itself (`Gram`), or
as a factor S of an estimate SᵀS of it (`Factor`), which is never multiplied out.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geovq.assignment.nearest_codes import first_least
from geovq.assignment.subspace import Directions
from geovq.decoder.adapters import Decoder, flat

_PRECISION = "highest"

_UNROLLED = 4
"""Parts of the probes at most that are compiled one by one."""

_OUTER = 1 << 26
"""Numbers of all products of two entries of a code at most (256 MiB), with which cᵀGc is one matrix product for all positions."""


class Gram(NamedTuple):
    """JᵀJ in the coordinates y_q = coordinates_q Δ_q of the steps of every token q: ΔᵀJᵀJΔ = yᵀ gram y, intensity²."""

    coordinates: Float[Array, "t r d"]
    gram: Float[Array, "t r t r"]

    def squares(self, codes: Float[Array, "S K d"]) -> Float[Array, "t S K"]:
        """What JᵀJ makes of every code at every position, cᵀGc."""
        indices = jnp.arange(len(self.coordinates))
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


class Factor(NamedTuple):
    """A factor S of an estimate SᵀS of JᵀJ: it holds r·t·d numbers, where JᵀJ has (t·d)²."""

    factor: Float[Array, "r t d"]
    """S = ΩJ, by r random probes of the image."""

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


class Dense(NamedTuple):
    """JᵀJ of all tokens with all others."""

    products: Gram | Factor

    def descend(
        self,
        gradient: Float[Array, "t d"],
        own: Float[Array, "t d d"],
        codes: Float[Array, "S K d"],
        tokens: Int[Array, "t S"],
        move: Float[Array, "t d"],
        *,
        sweeps: int,
        code_costs: Float[Array, "t S K"] | None = None,
    ) -> Int[Array, "t S"]:
        """Coordinate descent: one code after the other becomes the best while all others stay.

        What it lowers is gradientᵀΔ + ΔᵀJᵀJΔ + Σ Δ_qᵀ own_q Δ_q, intensity², and the costs of codes.

        Args:
            gradient: Of the error where Δ = 0.
            own: What a step of one token costs beside JᵀJ, whatever the others do.
            codes: Codes.
            tokens: Where it starts.
            move: The step Δ to these tokens.
            sweeps: How often every code is chosen.
            code_costs: What every code of every token costs beside its part in the error, intensity²; None for nothing.

        Returns:
            Tokens that do not cost more than the start.
        """
        t, count = tokens.shape
        # Two products: `own` alone differs in a batch of dampings, and JᵀJ alone in a batch of images.
        squares = self.products.squares(codes) + code_squares(own, codes)
        if code_costs is not None:
            squares = squares + code_costs

        def choose(step: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            tokens, move, image_state = state
            q, s = (step // count) % t, step % count
            others = move[q] - codes[s][tokens[q, s]]  # the step of this token without this code
            image_state = self.products.replace_move(image_state, q, move[q], others)
            slope = jnp.matmul(own[q], others, precision=_PRECISION) + gradient[q] / 2
            slope = slope + self.products.push(image_state, q)
            values = squares[q, s] + 2 * jnp.matmul(codes[s], slope, precision=_PRECISION)
            best = first_least(values).astype(tokens.dtype)
            after = others + codes[s][best]
            image_state = self.products.replace_move(image_state, q, others, after)
            return tokens.at[q, s].set(best), move.at[q].set(after), image_state

        return jax.lax.fori_loop(0, sweeps * t * count, choose, (tokens, move, self.products.state_of(move)))[0]


def exact_gram(decode: Decoder, grid: Float[Array, "h w d"], *, tokens: int) -> Float[Array, "t d t d"]:
    """JᵀJ of all latents of a grid, by t·d forward-mode products that share one linearisation.

    Args:
        decode: Takes one grid to one image.
        grid: Where.
        tokens: Tokens whose tangents are pushed forward at once; bounds the memory.
    """
    h, w, d = grid.shape
    t = h * w
    _, push = jax.linearize(lambda z: flat(decode, z), grid)
    basis = jnp.eye(t * d, dtype=grid.dtype).reshape(t, d, h, w, d)
    rows = jax.lax.map(jax.vmap(push), basis, batch_size=tokens) if tokens < t else jax.vmap(jax.vmap(push))(basis)
    rows = rows.reshape(t * d, -1)
    return jnp.matmul(rows, rows.T, precision=_PRECISION).reshape(t, d, t, d)


def projected_gram(
    decode: Decoder, grid: Float[Array, "h w d"], directions: Directions, *, at_once: int
) -> Float[Array, "t r t r"]:
    """JᵀJ in the coordinates of some directions, by a forward-mode product for each.

    Args:
        decode: Takes one grid to one image.
        grid: Where.
        directions: Those that move the image most.
        at_once: Directions that are pushed forward at once; bounds the memory.
    """
    steps, tokens, columns, coordinates, _ = jax.tree.map(jnp.asarray, directions)
    t, r, _ = coordinates.shape
    _, push = jax.linearize(lambda z: flat(decode, z), grid)
    rows = jax.lax.map(push, steps, batch_size=at_once) if at_once < len(steps) else jax.vmap(push)(steps)
    products = jnp.matmul(rows, rows.T, precision=_PRECISION)
    gram = jnp.zeros((t, r, t, r), products.dtype)
    return gram.at[tokens[:, None], columns[:, None], tokens, columns].set(products)


def sketched_factor(
    decode: Decoder, grid: Float[Array, "h w d"], probes: int, key: PRNGKeyArray, *, at_once: int
) -> Float[Array, "r t d"]:
    """A factor S of JᵀJ ≈ SᵀS, by r reverse-mode products.

    Args:
        decode: Takes one grid to one image.
        grid: Where.
        probes: r, random signs over √r, as in `geovq.metric.pullback.sketch`.
        key: Of the probes.
        at_once: Probes that are pulled back at once; bounds the memory.
    """
    found, transpose = jax.vjp(lambda z: flat(decode, z), grid)
    signs = jax.random.rademacher(key, (probes, found.size), found.dtype) / math.sqrt(probes)
    gradients = jax.vmap(lambda probe: transpose(probe)[0])
    # Up to four parts are compiled one by one, since the gradients of convolutions in a loop are slow on a CPU. More of them
    # would take minutes to compile, so they run in a loop.
    if probes <= _UNROLLED * at_once:
        factor = jnp.concatenate([gradients(signs[i : i + at_once]) for i in range(0, probes, at_once)])
    else:
        factor = jax.lax.map(lambda probe: transpose(probe)[0], signs, batch_size=at_once)
    return factor.reshape(probes, -1, grid.shape[-1])


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
