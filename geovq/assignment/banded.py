"""The linearised error of an image on a band: tokens that are far apart do not interact, and choose their codes together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from geovq.assignment.nearest_codes import first_least
from geovq.metric.band import Lattice, independent_sets, neighbour_indices
from geovq.numerics.additive import sum_codes

_PRECISION = "highest"


class Banded(NamedTuple):
    """The linearised error with blocks of JᵀJ for tokens at most R rows and columns apart, intensity².

    It is gradientᵀΔ + Σ Δ_qᵀ band_{q,o} Δ_{q+o} + Σ Δ_qᵀ own_q Δ_q, and holds (2R+1)²·d² numbers a token.
    """

    origin: Float[Array, "t d"]
    gradient: Float[Array, "t d"]
    """Of the error, −2 Jᵀr; exact, whatever the band leaves out."""
    band: Float[Array, "h w b d d"]
    """As `geovq.metric.band.band_of_windows` gives it."""
    own: Float[Array, "t d d"]
    """What a step of one token costs beside that, whatever the others do."""

    @property
    def lattice(self) -> Lattice:
        """Grid and radius of the band; which tokens were moved together does not matter here."""
        h, w, b, d, _ = self.band.shape
        side = round(b**0.5)
        return Lattice((h, w, d), side // 2, side)

    def is_finite(self) -> Bool[Array, ""]:
        """Whether the band is."""
        return jnp.isfinite(self.band).all()

    def descend(
        self,
        codes: Float[Array, "S K d"],
        tokens: Int[Array, "t S"],
        *,
        sweeps: int,
        code_costs: Float[Array, "t S K"] | None = None,
    ) -> Int[Array, "t S"]:
        """Coordinate descent: all tokens of an independent set choose a code at once, while all others stay.

        Arguments and result are those of `geovq.assignment.quadratic.descend`.
        """
        (t, count), d = tokens.shape, codes.shape[-1]
        # One more row stands for every token beyond the grid: it does not move, and nothing moves it.
        neighbours = jnp.asarray(np.pad(neighbour_indices(self.lattice), ((0, 1), (0, 0)), constant_values=t))
        sets = jnp.asarray(independent_sets(self.lattice))
        band = jnp.pad(self.band.reshape(t, -1, d, d), ((0, 1), *[(0, 0)] * 3))
        own, gradient = jnp.pad(self.own, ((0, 1), (0, 0), (0, 0))), jnp.pad(self.gradient, ((0, 1), (0, 0)))
        costs = None if code_costs is None else jnp.pad(code_costs, ((0, 1), (0, 0), (0, 0)))
        middle, zero = band.shape[1] // 2, jnp.zeros((1, 1), codes.dtype)

        def choose(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            tokens, move = state
            members, s = sets[(step // count) % len(sets)], step % count
            beyond = (members == t)[:, None]
            others = jnp.where(beyond, zero, move[members] - codes[s][tokens[members, s]])
            move = move.at[members].set(others)
            slope = gradient[members] / 2
            slope += jnp.einsum("mbij,mbj->mi", band[members], move[neighbours[members]], precision=_PRECISION)
            slope += jnp.einsum("mij,mj->mi", own[members], others, precision=_PRECISION)
            values = code_values(band[members, middle] + own[members], slope, codes[s])
            if costs is not None:
                values = values + costs[members, s].T
            best = first_least(values).astype(tokens.dtype)
            after = jnp.where(beyond, zero, others + codes[s][best])
            return tokens.at[members, s].set(best), move.at[members].set(after)

        move = jnp.pad(sum_codes(codes, tokens) - self.origin, ((0, 1), (0, 0)))
        tokens = jnp.pad(tokens, ((0, 1), (0, 0)))
        return jax.lax.fori_loop(0, sweeps * len(sets) * count, choose, (tokens, move))[0][:t]


def code_values(
    metrics: Float[Array, "m d d"], slopes: Float[Array, "m d"], codes: Float[Array, "K d"]
) -> Float[Array, "K m"]:
    """What each code adds to the error at each of m tokens, cᵀGc + 2 cᵀslope."""
    outer = (codes[:, :, None] * codes[:, None, :]).reshape(len(codes), -1)
    squares = jnp.matmul(outer, metrics.reshape(len(metrics), -1).T, precision=_PRECISION)
    return squares + 2 * jnp.matmul(codes, slopes.T, precision=_PRECISION)
