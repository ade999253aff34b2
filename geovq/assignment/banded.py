"""JᵀJ of a grid on a band: tokens that are far apart do not interact, and choose their codes together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geovq.assignment.nearest_codes import first_least
from geovq.metric.band import Lattice, independent_sets, neighbour_indices

_PRECISION = "highest"


class Banded(NamedTuple):
    """Blocks of JᵀJ for tokens at most R rows and columns apart, intensity²: (2R+1)²·d² numbers a token."""

    band: Float[Array, "h w b d d"]
    """As `geovq.metric.band.band_of_windows` gives it."""

    @property
    def lattice(self) -> Lattice:
        """Grid and radius of the band; which tokens were moved together does not matter here."""
        h, w, b, d, _ = self.band.shape
        side = round(b**0.5)
        return Lattice((h, w, d), side // 2, side)

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
        """Coordinate descent: all tokens of an independent set choose a code at once, while all others stay.

        Arguments and result are those of `geovq.assignment.dense.Dense.descend`.
        """
        (t, count), d = tokens.shape, codes.shape[-1]
        # One more row stands for every token beyond the grid: it does not move, and nothing moves it.
        neighbours = jnp.asarray(np.pad(neighbour_indices(self.lattice), ((0, 1), (0, 0)), constant_values=t))
        sets = jnp.asarray(independent_sets(self.lattice))
        band = jnp.pad(self.band.reshape(t, -1, d, d), ((0, 1), *[(0, 0)] * 3))
        own, gradient = jnp.pad(own, ((0, 1), (0, 0), (0, 0))), jnp.pad(gradient, ((0, 1), (0, 0)))
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

        start = jnp.pad(tokens, ((0, 1), (0, 0))), jnp.pad(move, ((0, 1), (0, 0)))
        return jax.lax.fori_loop(0, sweeps * len(sets) * count, choose, start)[0][:t]


def code_values(
    metrics: Float[Array, "m d d"], slopes: Float[Array, "m d"], codes: Float[Array, "K d"]
) -> Float[Array, "K m"]:
    """What each code adds to the error at each of m tokens, cᵀGc + 2 cᵀslope."""
    outer = (codes[:, :, None] * codes[:, None, :]).reshape(len(codes), -1)
    squares = jnp.matmul(outer, metrics.reshape(len(metrics), -1).T, precision=_PRECISION)
    return squares + 2 * jnp.matmul(codes, slopes.T, precision=_PRECISION)
