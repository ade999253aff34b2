"""JᵀJ of every token of a grid with its neighbours, by products whose number does not grow with the grid.

The response of a decoder to a move of one token is local: it fades within a few tokens. So the tokens of a lattice of spacing s
are moved together, by one forward-mode product, and each token's response is cut out of the image as a window of s x s tokens
around it: s²·d products give the responses of all t·d latents (Curtis, Powell & Reid 1974, "On the estimation of sparse Jacobian
matrices"). Inner products of the windows of neighbours are their blocks of JᵀJ.

What a window leaves out, and what other tokens of the lattice leave in it, is the error. It is 0 where a response ends within
(s − 1)/2 tokens, or where the grid has at most (s + 1)/2 rows and columns. These kernels are for one grid;
`geovq.metric.neighbours` runs them over many.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.decoder.checks import image_of
from geovq.metric.pullback import nan_unless_finite
from geovq.validation import LARGEST_SIZE, InputError, check_whole, shown

_PRECISION = "highest"

SPACING = 5
"""Distance in tokens of those that are moved together, at least. With TAESD, blocks at distance 4 have 1% of the norm of a
token's own."""


@dataclasses.dataclass(frozen=True)
class Lattice:
    """Which tokens of a grid (h, w) of d channels are moved together, and how far JᵀJ reaches."""

    grid: tuple[int, int, int]
    """(h, w, d)."""
    radius: int
    """R: blocks of tokens at most R rows and R columns apart are kept."""
    spacing: int
    """s, odd and above R."""

    @property
    def periods(self) -> tuple[int, int]:
        """Rows and columns after which moved tokens repeat; the whole grid where it is smaller than the spacing."""
        return min(self.spacing, self.grid[0]), min(self.spacing, self.grid[1])

    @property
    def products(self) -> int:
        """Forward-mode products for a grid, at most s²·d."""
        return math.prod(self.periods) * self.grid[2]

    @property
    def windows(self) -> tuple[int, int]:
        """Windows of a product, along rows and columns."""
        return math.ceil(self.grid[0] / self.spacing), math.ceil(self.grid[1] / self.spacing)

    @property
    def offsets(self) -> Int[np.ndarray, "b 2"]:
        """The b = (2R+1)² neighbours of a token, itself in the middle, as rows and columns from it."""
        steps = np.arange(-self.radius, self.radius + 1)
        return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)

    def numbers(self, image: int) -> int:
        """Numbers of the windows of all products of a grid, whose image has so many; bytes, if that is bytes."""
        h, w, _ = self.grid
        return self.products * math.prod(self.windows) * self.spacing**2 * image // (h * w)


def make_lattice(grid: tuple[int, int, int], *, radius: int = 1, spacing: int | None = None) -> Lattice:
    """The lattice of a grid (h, w, d); the rest is as for `check_spacing`."""
    return Lattice(grid, radius, check_spacing(radius, spacing))


def check_spacing(radius: int, spacing: int | None) -> int:
    """The spacing of a band.

    Args:
        radius: R, at least 0.
        spacing: s, an odd number above R; None takes the larger of 5 and 2R+1.

    Raises:
        InputError: Numbers that are not whole, or a spacing that is even or not above the radius.
    """
    check_whole("radius", radius, 0, LARGEST_SIZE)
    if spacing is None:
        return max(SPACING, 2 * radius + 1)
    check_whole("spacing", spacing)
    if spacing % 2 == 0 or spacing <= radius:
        raise InputError(
            f"spacing: expected an odd number above the radius {radius}, found {shown(spacing)}; change it."
        )
    return spacing


def has_blocks(decode: Partial, shape: tuple[int, ...]) -> bool:
    """Whether a latent (h, w, d) becomes one array (H, W, C) in which every token has a block of pixels of its own."""
    image = image_of(decode, shape)
    if not isinstance(image, jax.ShapeDtypeStruct) or len(image.shape) != 3:
        return False
    return image.shape[0] % shape[0] == 0 and image.shape[1] % shape[1] == 0


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a grid (h, w, d) has more than 25 tokens: a band with the spacing 5 takes fewer products than whole JᵀJ."""
    return shape[0] * shape[1] > SPACING**2


def takes_band(decode: Partial, shape: tuple[int, ...]) -> bool:
    """Whether neighbours alone are looked at by default: on large grids of decoders whose tokens have blocks of pixels."""
    return is_large(shape) and has_blocks(decode, shape)


def check_blocks(decode: Partial, shape: tuple[int, ...]) -> None:
    """Refuses a decoder whose tokens have no blocks of pixels of their own; arguments as `has_blocks`.

    Raises:
        InputError: An image that is not (H, W, C), or whose sides are no multiples of the grid's.
    """
    if not has_blocks(decode, shape):
        image = image_of(decode, shape)
        found = f"shape {image.shape}" if isinstance(image, jax.ShapeDtypeStruct) else "several arrays"
        tokens = f"{shape[0]}x{shape[1]} tokens'"
        raise InputError(
            f"decoder: expected an image (H, W, C) whose sides are multiples of the {tokens}, found {found}; "
            "take what needs no band, such as Joint(radius=None) or probes."
        )


def lattice_tangents(lattice: Lattice, numbers: Int[Array, " m"], dtype: jnp.dtype) -> Float[Array, "m h w d"]:
    """Moves by 1 of one channel of every token of a lattice, for some of its products."""
    h, w, d = lattice.grid
    columns = lattice.periods[1]
    colour, channel = numbers // d, numbers % d
    moved = (
        (jnp.arange(h)[None] % lattice.spacing == (colour // columns)[:, None])[:, :, None, None]
        & (jnp.arange(w)[None] % lattice.spacing == (colour % columns)[:, None])[:, None, :, None]
        & (jnp.arange(d)[None] == channel[:, None])[:, None, None, :]
    )
    return moved.astype(dtype)


def cut_windows(
    lattice: Lattice, response: Float[Array, "H W C"], number: Int[Array, ""]
) -> Float[Array, "ny nx s s pixels"]:
    """Windows of s x s tokens around the tokens that a product moves, out of its response.

    Args:
        lattice: The lattice.
        response: Of the image.
        number: Of the product.

    Returns:
        For every moved token the pixels of each token of its window; 0 beyond the image, and for tokens beyond the grid.
    """
    h, w, d = lattice.grid
    (ny, nx), s, reach = lattice.windows, lattice.spacing, lattice.spacing // 2
    row, column = jnp.divmod(number // d, lattice.periods[1])
    height, width, channels = response.shape[0] // h, response.shape[1] // w, response.shape[2]
    after = (s - 1 + ny * s - reach - h) * height, (s - 1 + nx * s - reach - w) * width
    padded = jnp.pad(response, ((reach * height, after[0]), (reach * width, after[1]), (0, 0)))
    size = ny * s * height, nx * s * width, channels
    cut = jax.lax.dynamic_slice(padded, (row * height, column * width, jnp.zeros_like(row)), size)
    cut = cut.reshape(ny, s, height, nx, s, width, channels).transpose(0, 3, 1, 4, 2, 5, 6)
    inside = (jnp.arange(ny) * s + row < h)[:, None] & (jnp.arange(nx) * s + column < w)[None]
    return jnp.where(inside[:, :, None, None, None], cut.reshape(ny, nx, s, s, -1), jnp.zeros((1,) * 5, cut.dtype))


def band_of_windows(lattice: Lattice, windows: Float[Array, "products ny nx s s pixels"]) -> Float[Array, "h w b d d"]:
    """Blocks of JᵀJ of every token with its neighbours, from the windows of all products of a lattice.

    Args:
        lattice: The lattice.
        windows: What `cut_windows` gives for product after product.

    Returns:
        [y, x, o, i, j] is the product of channel i of token (y, x) and channel j of the token at offset o from it, in float32 at
        least, in intensity²; 0 where that token lies beyond the grid.
    """
    (h, w, d), reach, s = lattice.grid, lattice.radius, lattice.spacing
    rows, columns = lattice.periods
    by_row = windows.reshape(rows, columns, d, *windows.shape[1:])
    wide = jnp.promote_types(windows.dtype, jnp.float32)

    def tokens_of(y: Array) -> Float[Array, "w d s s pixels"]:
        row = jax.lax.dynamic_index_in_dim(by_row, y % s, 0, keepdims=False)  # (columns, d, ny, nx, s, s, pixels)
        row = jax.lax.dynamic_index_in_dim(row, y // s, 2, keepdims=False)  # (columns, d, nx, s, s, pixels)
        return row.transpose(2, 0, 1, 3, 4, 5).reshape(-1, d, *row.shape[3:])[:w]

    def of_row(y: Array) -> Float[Array, "w half d d"]:
        here, blocks = tokens_of(y), []
        for down in range(reach + 1):
            other = jnp.where(y + down < h, tokens_of(jnp.minimum(y + down, h - 1)), jnp.zeros((1,) * 5, here.dtype))
            other = jnp.pad(other, ((reach, reach), *[(0, 0)] * 4))
            for right in range(0 if down == 0 else -reach, reach + 1):
                ours = here[:, :, down:, max(right, 0) : s + min(right, 0)]
                theirs = other[reach + right : reach + right + w, :, : s - down, max(-right, 0) : s - max(right, 0)]
                rows_of = (x.reshape(w, d, -1) for x in (ours, theirs))
                blocks.append(jnp.einsum("xip,xjp->xij", *rows_of, precision=_PRECISION, preferred_element_type=wide))
        return jnp.stack(blocks, axis=1)

    return _both_halves(lattice, jax.lax.map(of_row, jnp.arange(h)))


def _both_halves(lattice: Lattice, half: Float[Array, "h w half d d"]) -> Float[Array, "h w b d d"]:
    """The blocks at the offsets before a token are those of the tokens there with it, transposed."""
    (h, w, _), reach = lattice.grid, lattice.radius
    padded = jnp.pad(half, ((reach, 0), (reach, reach), *[(0, 0)] * 3))

    def before(down: int, right: int, index: int) -> Float[Array, "h w d d"]:
        moved = padded[reach - down : reach - down + h, reach - right : reach - right + w, index]
        return moved.swapaxes(-1, -2)

    offsets = lattice.offsets
    later = offsets[len(offsets) // 2 :]
    earlier = [before(int(later[i][0]), int(later[i][1]), i) for i in range(len(later) - 1, 0, -1)]
    return jnp.concatenate([jnp.stack(earlier, axis=2), half], axis=2) if earlier else half


def grid_band(
    decode: Partial, grid: Float[Array, "h w d"], lattice: Lattice, *, at_once: int
) -> Float[Array, "h w b d d"]:
    """The band of a grid, by forward-mode products that share one linearisation.

    Args:
        decode: Takes one grid to one image (H, W, C), with a block of pixels for each token.
        grid: Where.
        lattice: Which tokens are moved together, and how far the band reaches.
        at_once: Products that are made at once; bounds the memory.

    Returns:
        As `band_of_windows`; NaN where the image is not finite.
    """
    image, push = jax.linearize(decode, grid)
    count = max(1, min(lattice.products, at_once))
    (h, w, _), s = lattice.grid, lattice.spacing
    none = jnp.zeros((lattice.products, *lattice.windows, s, s, image.size // (h * w)), image.dtype)

    def fill(group: Array, windows: Array) -> Array:
        # The last products are computed twice, where they do not fill a group.
        first = jnp.minimum(group * count, lattice.products - count)
        numbers = first + jnp.arange(count)
        responses = jax.vmap(push)(lattice_tangents(lattice, numbers, grid.dtype))
        found = jax.vmap(functools.partial(cut_windows, lattice))(responses, numbers)
        return jax.lax.dynamic_update_slice_in_dim(windows, found, first, axis=0)

    windows = jax.lax.fori_loop(0, -(-lattice.products // count), fill, none)
    return nan_unless_finite(image, band_of_windows(lattice, windows))


def neighbour_indices(lattice: Lattice) -> Int[np.ndarray, "t b"]:
    """Index of every neighbour of every token, in raster order; t where it lies beyond the grid."""
    h, w, _ = lattice.grid
    y, x = np.divmod(np.arange(h * w), w)
    rows, columns = (np.add.outer(at, step) for at, step in zip((y, x), lattice.offsets.T, strict=True))
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    return np.where(inside, rows * w + columns, h * w).astype(np.int32)


def independent_sets(lattice: Lattice) -> Int[np.ndarray, "sets m"]:
    """Tokens more than R apart from each other, set after set: (R+1)² sets, each filled up with t."""
    h, w, _ = lattice.grid
    step = lattice.radius + 1
    grid = np.arange(h * w).reshape(h, w)
    sets = [grid[i::step, j::step].ravel() for i in range(min(step, h)) for j in range(min(step, w))]
    size = max(map(len, sets))
    return np.stack([np.pad(one, (0, size - len(one)), constant_values=h * w) for one in sets]).astype(np.int32)
