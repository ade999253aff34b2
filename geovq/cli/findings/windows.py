"""A token with those around it: a window of the grid, in which the decoder runs in a fraction of the time of the whole image."""

from typing import NamedTuple

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.decoder.adapters import in_context
from geovq.metric.pullback import pullback_metric


class Window(NamedTuple):
    """A part of a grid."""

    rows: slice
    columns: slice
    inside: tuple[int, int]
    """Row and column of the token in it."""


def window_of(at: tuple[int, int], grid: tuple[int, int], size: int | None) -> Window:
    """The window with a token as near to its middle as the grid's border allows.

    Args:
        at: Row and column of the token.
        grid: Rows and columns of all tokens.
        size: Rows and columns of the window at most; None takes the whole grid.
    """
    rows, columns = (_part(i, side, size or side) for i, side in zip(at, grid, strict=True))
    return Window(rows, columns, (at[0] - rows.start, at[1] - columns.start))


def pixels_around(i: int, side: int, stride: int, around: int) -> slice:
    """Pixels of token i of a side of a grid and of some tokens around it, as far as the grid goes."""
    return slice(max(0, i - around) * stride, min(side, i + around + 1) * stride)


@jax.jit
def own_metric(
    decode: Partial, latents: Float[Array, "h w d"], row: Int[Array, ""], column: Int[Array, ""]
) -> Float[Array, "d d"]:
    """The metric of one token in its context."""
    return pullback_metric(in_context(decode, latents, row, column), latents[row, column])


def _part(i: int, side: int, size: int) -> slice:
    size = min(size, side)
    start = min(max(0, i - size // 2), side - size)
    return slice(start, start + size)
