"""JᵀJ of tokens with their neighbours at many grids: bands, mean stencils, and what lies outside them.

The kernels of `geovq.metric.band`, run as `geovq.batching.run` says. The number of products does not depend on the grid's size.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Num

from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.batching.run import run
from geovq.decoder.adapters import Decoder, as_partial
from geovq.decoder.checks import check_changes, check_decoder
from geovq.metric.band import (
    SPACING,
    Lattice,
    check_blocks,
    check_spacing,
    grid_band,
    make_lattice,
    neighbour_indices,
)
from geovq.metric.batched import check_grids
from geovq.validation import check_seed, check_whole


def neighbour_metrics(
    decode: Decoder,
    grids: Num[np.ndarray, "n h w d"],
    *,
    radius: int = 1,
    spacing: int | None = None,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "n h w b d d"]:
    """Blocks of JᵀJ for every token of n grids with its neighbours: how moves of both add up or cancel in the image.

    Args:
        decode: Takes one grid (h, w, d) to one image (H, W, C), whose sides are multiples of the grid's.
        grids: Latents (n, h, w, d).
        radius: R; the b = (2R+1)² neighbours of a token are at most R rows and R columns away.
        spacing: s, distance of the tokens whose responses one product gives: an odd number above R. At most s²·d products are
            computed for a grid of any size. None takes the larger of 5 and 2R+1.
        plan: How much at once and on which devices.
        progress: Called after every chunk with the grids done.

    Returns:
        (n, h, w, b, d, d), on the host, in intensity². Neighbours are in raster order, the token itself, with its own metric, in
        the middle; blocks with tokens beyond the grid are 0. Where responses reach beyond (s − 1)/2 tokens they are approximate;
        `band_error` measures by how much.

    Raises:
        InputError: Latents of another rank, NaN or infinity, a radius or spacing that does not fit, a decoder that has no metric
            or whose tokens have no blocks of pixels, or a grid that does not fit in the plan's memory.
    """
    grids, decode = check_grids(grids), as_partial(decode)
    check_decoder(decode, grids)
    check_blocks(decode, grids.shape[1:])
    found = run(GridBand(radius, check_spacing(radius, spacing)), decode, grids, plan=plan, progress=progress)
    check_changes(decode, grids, found)
    return found


def response_outside(decode: Decoder, grid: Float[np.ndarray, "h w d"], *, plan: Plan = DEFAULT_PLAN) -> float:
    """How global a decoder is, by d products: the part of the squared response of a grid's middle token that lies more than two
    tokens away, where the band with the spacing 5 does not look."""
    inside, whole = run(_Response(SPACING // 2), as_partial(decode), grid[None], plan=plan)[0]
    return float(1 - inside / whole) if whole > 0 else 0.0


class BandError(NamedTuple):
    """How far a band is from JᵀJ, on a sample of tokens; both as part of the norm of these tokens' rows of JᵀJ."""

    outside: float
    """Frobenius norm of the blocks beyond the radius."""
    inside: float
    """Frobenius norm of the error of the band's own blocks."""


def band_error(
    decode: Decoder,
    grids: Num[np.ndarray, "n h w d"],
    *,
    radius: int = 1,
    spacing: int | None = None,
    tokens: int = 16,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
) -> BandError:
    """What a band leaves out and what leaks into it, by exact rows of JᵀJ of some tokens: 2d products each.

    Args:
        decode: As for `neighbour_metrics`.
        grids: Latents (n, h, w, d), a few.
        radius: Of the band.
        spacing: Of the band.
        tokens: Drawn at random from all grids.
        seed: Of the draw.
        plan: How much at once and on which devices.

    Raises:
        InputError: As `neighbour_metrics`.
    """
    check_whole("tokens", tokens)
    check_seed(seed)
    grids = check_grids(grids)
    band = neighbour_metrics(decode, grids, radius=radius, spacing=spacing, plan=plan)
    n, h, w, b, d, _ = band.shape
    chosen = np.sort(np.random.default_rng(seed).permutation(n * h * w)[:tokens])
    grid, token = np.divmod(chosen, h * w)
    rows = run(_Row(), as_partial(decode), grids[grid], token.astype(np.int32), plan=plan)
    exact = np.pad(rows, ((0, 0), (0, 0), (0, 1), (0, 0))).astype(np.float64)  # (m, d, t + 1, d)
    neighbours = neighbour_indices(Lattice((h, w, d), radius, 2 * radius + 1))[token]
    inside = exact[np.arange(len(token))[:, None], :, neighbours]  # (m, b, d, d)
    whole, kept = np.sum(exact**2), np.sum(inside**2)
    wrong = np.sum((band.reshape(n, h * w, b, d, d)[grid, token] - inside) ** 2)
    scale = whole if whole > 0 else 1.0
    return BandError(float(np.sqrt(max(0.0, whole - kept) / scale)), float(np.sqrt(wrong / scale)))


@dataclasses.dataclass(frozen=True)
class GridBand:
    """Kernel: the band of a grid."""

    radius: int
    spacing: int

    def passes(self, shape: tuple[int, ...]) -> int:
        """The products."""
        return self._lattice(shape).products

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The windows of all products of a grid, and the band with the copies that are made of it."""
        band = 4 * math.prod(shape) * (2 * self.radius + 1) ** 2 * shape[-1]
        return decoder.products(self._lattice(shape).numbers(decoder.image) + 4 * band)

    def __call__(self, decode: Partial, grid: Float[Array, "h w d"], *, at_once: int) -> Float[Array, "h w b d d"]:
        """As `grid_band`."""
        return grid_band(decode, grid, self._lattice(grid.shape), at_once=at_once)

    def _lattice(self, shape: tuple[int, ...]) -> Lattice:
        h, w, d = shape
        return make_lattice((h, w, d), radius=self.radius, spacing=self.spacing)


@dataclasses.dataclass(frozen=True)
class _Response:
    """Kernel: the squared response to moves of a grid's middle token, near it and everywhere."""

    reach: int
    """Rows and columns around it that count as near."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode product for each channel."""
        return shape[-1]

    def __call__(self, decode: Partial, grid: Float[Array, "h w d"], *, at_once: int) -> Float[Array, "2"]:
        """Both, in intensity²."""
        h, w, d = grid.shape
        y, x = h // 2, w // 2
        steps = jnp.zeros((d, h, w, d), grid.dtype).at[jnp.arange(d), y, x, jnp.arange(d)].set(1)
        squares = jnp.sum(jax.vmap(jax.linearize(decode, grid)[1])(steps) ** 2, axis=(0, 3))
        blocks = squares.reshape(h, squares.shape[0] // h, w, squares.shape[1] // w).sum(axis=(1, 3))
        near = blocks[max(0, y - self.reach) : y + self.reach + 1, max(0, x - self.reach) : x + self.reach + 1]
        return jnp.stack([near.sum(), blocks.sum()])


@dataclasses.dataclass(frozen=True)
class _Row:
    """Kernel: the exact row of JᵀJ of one token of a grid."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """A forward-mode and a reverse-mode product for each channel."""
        return 3 * shape[-1]

    def __call__(
        self, decode: Partial, grid: Float[Array, "h w d"], token: Int[Array, ""], *, at_once: int
    ) -> Float[Array, "d t d"]:
        """(channel of the token, token, channel)."""
        h, w, d = grid.shape
        _, push = jax.linearize(decode, grid)
        _, pull = jax.vjp(decode, grid)
        steps = jnp.zeros((d, h * w, d), grid.dtype).at[jnp.arange(d), token, jnp.arange(d)].set(1)
        pulled = jax.vmap(lambda step: pull(push(step))[0])(steps.reshape(d, h, w, d))
        return pulled.reshape(d, h * w, d)
