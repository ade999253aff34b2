"""What a token's image would be with other codes, and which codes two measures call near.

A change of one token reaches only so far, so it is decoded in a window of the grid, and added to the whole image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.tokenizer import Tokenizer

_WINDOW = 13
"""Rows and columns of tokens that are decoded, where grids may have any size."""

_AROUND = 3
"""Tokens around the one that changes which are shown."""

NEAREST = 5
"""Codes that are shown for each measure."""

EUCLIDEAN, PULLBACK = "Euclidean", "pullback"


class Neighbour(NamedTuple):
    """One code in the place of another."""

    quantizer: int
    code: int
    euclidean: float
    """Distance of the two codes in latent space."""
    pullback: float
    """√(ΔᵀGΔ) with the token's own metric: what the image should change by, in intensity."""
    change: float
    """What it does change by, ‖D(Z') − D(Z)‖, in intensity."""
    psnr: float
    """Of the image with this code, dB."""
    patch: Float[np.ndarray, "Y X C"]
    """The part of it around the token."""


class Explored(NamedTuple):
    """A token of an image, and what it could be."""

    row: int
    column: int
    codes: tuple[int, ...]
    box: tuple[int, int, int, int]
    """Top, left, height and width of the patches, in pixels."""
    patch: Float[np.ndarray, "Y X C"]
    """As it is."""
    psnr: float
    """Of the image as it is, dB."""
    nearest: dict[tuple[int, str], list[Neighbour]]
    """By quantizer and measure, the nearest first."""


def spread_tokens(grid: tuple[int, int], rows: int, columns: int) -> list[tuple[int, int]]:
    """Rows and columns of tokens that are spread evenly over a grid, so that nobody chose them."""
    at = [
        np.unique(((np.arange(count) + 0.5) * side / count).astype(int))
        for side, count in zip(grid, (rows, columns), strict=True)
    ]
    return [(int(row), int(column)) for row in at[0] for column in at[1]]


def explore(
    tokenizer: Tokenizer,
    image: Float[np.ndarray, "H W C"],
    restored: Float[np.ndarray, "H W C"],
    tokens: Int[np.ndarray, "h w S"],
    at: Sequence[tuple[int, int]],
    plan: Plan,
) -> list[Explored]:
    """Other codes for some tokens of an image.

    Args:
        tokenizer: Whose codes they are.
        image: In [0, 1].
        restored: What the tokens decode to.
        tokens: Of the image.
        at: Rows and columns of tokens.
        plan: How much at once.
    """
    return [_explore(tokenizer, image, restored, tokens, place, plan) for place in at]


def _explore(
    tokenizer: Tokenizer,
    image: np.ndarray,
    restored: np.ndarray,
    tokens: np.ndarray,
    at: tuple[int, int],
    plan: Plan,
) -> Explored:
    codes, own = tokenizer.codebook.codes, tokens[at]
    rows, columns = (_window(i, side) for i, side in zip(at, tokens.shape[:2], strict=True))
    if tokenizer.stride is None:
        rows, columns = slice(0, tokens.shape[0]), slice(0, tokens.shape[1])
    latents = sum_codes(codes, tokens[rows, columns])
    inside = (at[0] - rows.start, at[1] - columns.start)
    metric = np.asarray(_own_metric(single(tokenizer.decoder), latents, *map(np.int32, inside)))

    steps = {s: codes[s] - codes[s][own[s]] for s in {0, len(codes) - 1}}  # (K, d) each
    distances = {(s, EUCLIDEAN): np.linalg.norm(step, axis=1) for s, step in steps.items()}
    for s, step in steps.items():
        distances[s, PULLBACK] = np.sqrt(np.maximum(np.einsum("kd,de,ke->k", step, metric, step), 0))
    chosen = {key: _nearest(found, int(own[key[0]])) for key, found in sorted(distances.items())}

    pairs = sorted({(s, int(code)) for (s, _), found in chosen.items() for code in found})
    grids = np.repeat(latents[None], len(pairs) + 1, axis=0)
    for grid, (s, code) in zip(grids[1:], pairs, strict=True):
        grid[inside] += steps[s][code]
    decoded = decode_latents(tokenizer.decoder, grids, plan=plan)
    stride = [side // count for side, count in zip(image.shape, tokens.shape[:2], strict=False)]
    window = tuple(slice(part.start * by, part.stop * by) for part, by in zip((rows, columns), stride, strict=True))
    shown = tuple(_shown(i, side, by) for i, side, by in zip(at, tokens.shape[:2], stride, strict=True))

    neighbours = {}
    for (s, code), changed in zip(pairs, decoded[1:], strict=True):
        other = restored.copy()
        other[window] = np.clip(other[window] + changed - decoded[0], 0, 1)
        neighbours[s, code] = Neighbour(
            s,
            code,
            float(distances[s, EUCLIDEAN][code]),
            float(distances[s, PULLBACK][code]),
            float(np.linalg.norm(other - restored)),
            _psnr(image, other),
            other[shown],
        )
    box = (shown[0].start, shown[1].start, shown[0].stop - shown[0].start, shown[1].stop - shown[1].start)
    nearest = {key: [neighbours[key[0], int(code)] for code in found] for key, found in chosen.items()}
    return Explored(*at, tuple(map(int, own)), box, restored[shown], _psnr(image, restored), nearest)


@jax.jit
def _own_metric(
    decode: Partial, latents: Float[Array, "h w d"], row: Int[Array, ""], column: Int[Array, ""]
) -> Float[Array, "d d"]:
    """JᵀJ of one token in its context, by d forward-mode products."""
    jacobian = jax.jacfwd(lambda z: decode(latents.at[row, column].set(z)))(latents[row, column])
    columns = jacobian.reshape(-1, jacobian.shape[-1])
    return jnp.matmul(columns.T, columns, precision="highest")


def _nearest(distances: Float[np.ndarray, " K"], own: int) -> Int[np.ndarray, " m"]:
    """Codes by rising distance, without the token's own."""
    order = np.argsort(distances, kind="stable")
    return order[order != own][:NEAREST]


def _window(i: int, side: int) -> slice:
    """Tokens that are decoded with token i, of a side of the grid."""
    size = min(_WINDOW, side)
    start = min(max(0, i - _WINDOW // 2), side - size)
    return slice(start, start + size)


def _shown(i: int, side: int, stride: int) -> slice:
    """Pixels that are shown of a change of token i."""
    return slice(max(0, i - _AROUND) * stride, min(side, i + _AROUND + 1) * stride)


def _psnr(image: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((image - other) ** 2), 1e-10)))
