"""What a token's image would be with other codes, and which codes two measures call near.

A change of one token hardly reaches beyond some others, so it is decoded in a window of the grid, and added to the whole image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from geovq.batching.plan import Plan
from geovq.cli.findings.windows import Window, own_metric, pixels_around, window_of
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.tokenizer import Tokenizer

_WINDOW = 9
"""Rows and columns of tokens that are decoded, where grids may have any size."""

_AROUND = 3
"""Tokens around the one that changes which are shown."""

NEAREST = 4
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
    decode, stride = single(tokenizer.decoder), tokenizer.stride
    asked = [_ask(decode, tokenizer.codebook.codes, tokens, place, whole=stride is None) for place in at]
    decoded = decode_latents(tokenizer.decoder, np.concatenate([each.grids for each in asked]), plan=plan)
    ends = np.cumsum([len(each.grids) for each in asked])
    return [
        _answer(each, images, image, restored, tokens)
        for each, images in zip(asked, np.split(decoded, ends), strict=False)
    ]


class _Question(NamedTuple):
    """What is to be decoded for a token."""

    at: tuple[int, int]
    window: Window
    """What is decoded."""
    distances: dict[tuple[int, str], Float[np.ndarray, " K"]]
    chosen: dict[tuple[int, str], Int[np.ndarray, " m"]]
    pairs: list[tuple[int, int]]
    """Quantizers and codes, each once."""
    grids: Float[np.ndarray, "n y x d"]
    """The window as it is, then with each of the pairs."""


def _ask(decode: Partial, codes: np.ndarray, tokens: np.ndarray, at: tuple[int, int], *, whole: bool) -> _Question:
    """The nearest codes of the first and the last quantizer; `whole` where the decoder takes one size of grids."""
    own, window = tokens[at], window_of(at, tokens.shape[:2], None if whole else _WINDOW)
    latents = sum_codes(codes, tokens[window.rows, window.columns])
    metric = np.asarray(own_metric(decode, latents, *map(np.int32, window.inside)))
    steps = {s: codes[s] - codes[s][own[s]] for s in sorted({0, len(codes) - 1})}  # (K, d) each
    distances = {}
    for s, step in steps.items():
        distances[s, EUCLIDEAN] = np.linalg.norm(step, axis=1)
        distances[s, PULLBACK] = np.sqrt(np.maximum(np.einsum("kd,de,ke->k", step, metric, step), 0))
    chosen = {key: _nearest(found, int(own[key[0]])) for key, found in distances.items()}
    pairs = sorted({(s, int(code)) for (s, _), found in chosen.items() for code in found})
    grids = np.repeat(latents[None], len(pairs) + 1, axis=0)
    for grid, (s, code) in zip(grids[1:], pairs, strict=True):
        grid[window.inside] += steps[s][code]
    return _Question(at, window, distances, chosen, pairs, grids)


def _answer(
    asked: _Question, decoded: np.ndarray, image: np.ndarray, restored: np.ndarray, tokens: np.ndarray
) -> Explored:
    """What decoded windows say."""
    strides = [side // count for side, count in zip(image.shape, tokens.shape[:2], strict=False)]
    parts = (asked.window.rows, asked.window.columns)
    window = tuple(slice(part.start * by, part.stop * by) for part, by in zip(parts, strides, strict=True))
    shown = tuple(
        pixels_around(i, side, by, _AROUND) for i, side, by in zip(asked.at, tokens.shape, strides, strict=False)
    )
    found = {}
    for (s, code), changed in zip(asked.pairs, decoded[1:], strict=True):
        other = restored.copy()
        other[window] = np.clip(other[window] + changed - decoded[0], 0, 1)
        found[s, code] = Neighbour(
            s,
            code,
            float(asked.distances[s, EUCLIDEAN][code]),
            float(asked.distances[s, PULLBACK][code]),
            float(np.linalg.norm(other - restored)),
            _psnr(image, other),
            other[shown],
        )
    rows, columns = shown
    box = (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    nearest = {(s, measure): [found[s, int(code)] for code in codes] for (s, measure), codes in asked.chosen.items()}
    own = tuple(map(int, tokens[asked.at]))
    return Explored(*asked.at, own, box, restored[shown], _psnr(image, restored), nearest)


def _nearest(distances: Float[np.ndarray, " K"], own: int) -> Int[np.ndarray, " m"]:
    """Codes by rising distance, without the token's own."""
    order = np.argsort(distances, kind="stable")
    return order[order != own][:NEAREST]


def _psnr(image: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((image - other) ** 2), 1e-10)))
