"""Codes as pictures: each decoded among the latents that it usually has around it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.batching.plan import Plan
from geovq.decoder.autoencoder import decode_latents
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.tokenizer import Tokenizer

_CONTEXT = 5
"""Rows and columns of the grid in which a code is decoded, where grids may have any size."""

_AROUND = 1
"""Tokens around it that are shown."""

MOST, QUANTIZERS = 1024, 4
"""Codes of a quantizer that are shown, and quantizers."""


class CodePictures(NamedTuple):
    """Codes of one quantizer, the most used first."""

    codes: Int[np.ndarray, " m"]
    patches: Float[np.ndarray, "m H W C"]
    """Decoded in their mean context: the token and those around it."""


def count_codes(tokens: Sequence[Int[np.ndarray, "_ _ S"]], num_codes: int) -> Int[np.ndarray, "S K"]:
    """How often each code of each quantizer occurs."""
    flat = np.concatenate([each.reshape(-1, each.shape[2]) for each in tokens])
    return np.stack([np.bincount(column, minlength=num_codes) for column in flat.T])


def draw_codes(tokenizer: Tokenizer, tokens: Sequence[Int[np.ndarray, "_ _ S"]], plan: Plan) -> list[CodePictures]:
    """The codes of the first quantizers, by falling use.

    A code's context is the mean of the latents around its uses, position by position; of a code that is not used it is the
    mean of all. In its middle stands the mean of the latents that the code is part of.

    Args:
        tokenizer: Whose codes they are.
        tokens: Of some images.
        plan: How much at once.
    """
    counts = count_codes(tokens, tokenizer.num_codes)
    pictures = []
    for s, row in enumerate(counts[:QUANTIZERS]):
        order = np.argsort(-row, kind="stable")[:MOST]
        contexts = mean_contexts(tokenizer, tokens, s)[order]
        decoded = decode_latents(tokenizer.decoder, contexts, plan=plan)
        pictures.append(CodePictures(order, middle_of(decoded, contexts.shape[1:3], _AROUND)))
    return pictures


def mean_contexts(
    tokenizer: Tokenizer, tokens: Sequence[Int[np.ndarray, "_ _ S"]], quantizer: int
) -> Float[np.ndarray, "K y x d"]:
    """For each code of a quantizer the mean grid of latents around it, with it in the middle, index (y // 2, x // 2)."""
    codes = tokenizer.codebook.codes
    window = (_CONTEXT, _CONTEXT) if tokenizer.stride else tokenizer.grid
    sums = np.zeros((tokenizer.num_codes, *window, codes.shape[2]))
    counts = np.zeros(tokenizer.num_codes, int)
    for grid in tokens:
        before = [side // 2 for side in window]
        margins = [(each, side - 1 - each) for each, side in zip(before, window, strict=True)]
        latents = np.pad(sum_codes(codes, grid), (*margins, (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(latents, window, axis=(0, 1))  # (h, w, d, y, x)
        chosen = grid[..., quantizer].ravel()
        np.add.at(sums, chosen, np.moveaxis(windows, 2, -1).reshape(-1, *sums.shape[1:]))
        np.add.at(counts, chosen, 1)
    everywhere = sums.sum(axis=0) / counts.sum()
    means = np.where(counts[:, None, None, None] > 0, sums / np.maximum(counts, 1)[:, None, None, None], everywhere)
    unused = counts == 0
    middle = (slice(None), window[0] // 2, window[1] // 2)
    expected = (counts[:, None] * codes[quantizer]).sum(axis=0) / counts.sum()
    means[middle] = np.where(unused[:, None], everywhere[middle[1:]] + codes[quantizer] - expected, means[middle])
    return means.astype(np.float32)


def middle_of(images: Float[np.ndarray, "m H W C"], grid: tuple[int, ...], around: int) -> Float[np.ndarray, "m Y X C"]:
    """The pixels of the middle token of decoded grids, and of tokens around it as far as the grid goes."""
    parts = [slice(None)]
    for side, tokens in zip(images.shape[1:3], grid, strict=True):
        stride, at = side // tokens, tokens // 2
        parts.append(slice(max(0, at - around) * stride, min(tokens, at + around + 1) * stride))
    return images[tuple(parts)]
