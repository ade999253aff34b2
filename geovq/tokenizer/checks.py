"""Input of a tokenizer that does not fit its codebook and its assigner is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.base import Assigner, Codebook
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.validation import InputError, as_array, check_real, check_squares, check_tokens

Grid = tuple[int, int] | None
"""(h, w) of the only grids that are taken; None where all are."""


def as_codebook(codebook: Codebook) -> Codebook:
    """The codebook with codes float32 (S, K, d) and metrics float32.

    Args:
        codebook: Codes (K, d) or (S, K, d), and mean metrics.

    Raises:
        InputError: Codes or metrics of other shapes, or not finite.
    """
    if not isinstance(codebook, Codebook):
        raise InputError(
            f"codebook: expected a geovq.Codebook, found {type(codebook).__name__}; make one of codes and metrics."
        )
    codes, metrics = as_quantizers(codebook.codes), as_array("position_metrics", codebook.position_metrics)
    d = codes.shape[-1]
    if metrics.ndim != 4 or metrics.shape[2:] != (d, d):
        raise InputError(
            f"position_metrics: expected shape (h, w, {d}, {d}), found {metrics.shape}; pass those of the codes."
        )
    return Codebook(codes, check_real("position_metrics", metrics).astype(np.float32))


def some_latents(codebook: Codebook, grid: tuple[int, int]) -> Float[np.ndarray, "2 h w d"]:
    """Two grids of codes that are as different as the codebook's size lets them be."""
    h, w = grid
    first = np.arange(h * w).reshape(h, w, 1) % codebook.num_codes
    tokens = np.stack([first, codebook.num_codes - 1 - first])
    return sum_codes(codebook.codes, np.repeat(tokens, codebook.num_quantizers, axis=-1))


def check_latent_shape(name: str, shape: tuple[int, ...], codebook: Codebook, grid: Grid, axes: str = "") -> None:
    """Refuses latents of another shape than (h, w, d), where `axes` is empty, or (n, h, w, d), where it is "n, ".

    Raises:
        InputError: With both shapes.
    """
    wanted = (*_grid_axes(grid), str(codebook.codes.shape[-1]))
    if len(shape) != len(wanted) + bool(axes) or not _fits(shape[bool(axes) :], wanted) or 0 in shape:
        raise InputError(f"{name}: expected shape ({axes}{', '.join(wanted)}), found {shape}.")


def _grid_axes(grid: Grid) -> tuple[str, str]:
    """Names of the axes of a grid: numbers where there is one size alone."""
    return ("h", "w") if grid is None else (str(grid[0]), str(grid[1]))


def _fits(shape: tuple[int, ...], wanted: tuple[str, ...]) -> bool:
    return all(not name.isdigit() or size == int(name) for size, name in zip(shape, wanted, strict=True))


def as_latents(
    latents: np.ndarray, metrics: np.ndarray | None, codebook: Codebook, grid: Grid
) -> tuple[Float[np.ndarray, "n h w d"], Float[np.ndarray, "n h w d d"] | None]:
    """Latents (n, h, w, d) of this codebook as float32, and a metric for each token if they are given.

    Raises:
        InputError: With the shape or the first number.
    """
    latents = as_array("latents", latents)
    check_latent_shape("latents", latents.shape, codebook, grid, "n, ")
    latents = _finite("latents", latents)
    if metrics is None:
        return latents, None
    metrics, wanted = as_array("metrics", metrics), (*latents.shape, latents.shape[-1])
    if metrics.shape != wanted:
        raise InputError(f"metrics: expected one per token, {wanted}, found {metrics.shape}.")
    return latents, _finite("metrics", metrics)


def _finite(name: str, values: np.ndarray) -> Float[np.ndarray, "..."]:
    """The same as float32, in which all have to be finite."""
    with np.errstate(over="ignore"):
        values = check_real(name, values).astype(np.float32, copy=False)
    check_squares(name, values)
    return values


def as_grids(tokens: np.ndarray, codebook: Codebook, grid: Grid, name: str = "tokens") -> Int[np.ndarray, "n h w S"]:
    """Grids of tokens of this codebook, int32, with the axis S that the door leaves out where S = 1.

    Raises:
        InputError: Another shape, or tokens outside 0..K-1, with their count and the first position.
    """
    tokens, wanted = as_array(name, tokens), token_axes(codebook, grid)
    if tokens.ndim != 1 + len(wanted) or not _fits(tokens.shape[1:], wanted) or 0 in tokens.shape:
        raise InputError(
            f"{name}: expected shape (n, {', '.join(wanted)}) with n of at least 1, found {tokens.shape}; reshape them to "
            "grids."
        )
    tokens = check_tokens(tokens, codebook.num_codes, name)
    return tokens[..., None] if codebook.num_quantizers == 1 else tokens


def as_token_list(tokens: Sequence[Any], codebook: Codebook, grid: Grid) -> list[np.ndarray]:
    """Grids of tokens, each of its own size, as arrays int32 (h, w) or (h, w, S).

    Raises:
        InputError: As `as_grids`, with the index of the grid.
    """
    found, axes = [], token_axes(codebook, grid)
    for i, each in enumerate(tokens):
        name = f"tokens[{i}]"
        one = as_array(name, each)
        if one.ndim != len(axes) or not _fits(one.shape, axes) or 0 in one.shape:
            raise InputError(f"{name}: expected shape ({', '.join(axes)}), found {one.shape}; reshape it to a grid.")
        found.append(check_tokens(one[None], codebook.num_codes, name)[0])
    return found


def token_axes(codebook: Codebook, grid: Grid) -> tuple[str, ...]:
    """Axes of the tokens of an image as messages name them: ("h", "w", "2") of any size with two codes a token."""
    return _grid_axes(grid) if codebook.num_quantizers == 1 else (*_grid_axes(grid), str(codebook.num_quantizers))


def token_shape(codebook: Codebook, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the tokens of an image as users see it: (h, w), or (h, w, S) where tokens have several codes."""
    return (*grid,) if codebook.num_quantizers == 1 else (*grid, codebook.num_quantizers)


def as_start(
    start: np.ndarray, assigner: Assigner, codebook: Codebook, n: int, grid: tuple[int, int], name: str = "start"
) -> Int[np.ndarray, "n h w S"]:
    """Tokens of n images with grids of one size that an assigner goes on with.

    Raises:
        InputError: An assigner that starts from none, or tokens that do not fit.
    """
    if not assigner.needs_images:
        raise InputError(
            f"start: expected tokens only for Amortised, Joint and Greedy, which go on with them, found "
            f"{type(assigner).__name__}; leave them out."
        )
    grids = as_grids(start, codebook, grid, name)
    if len(grids) != n:
        raise InputError(f"{name}: expected {n} grids, one for each image, found {len(grids)}.")
    return grids


def as_code_costs(
    costs: np.ndarray, assigner: Assigner, codebook: Codebook, n: int, grid: tuple[int, int], name: str = "code_costs"
) -> Float[np.ndarray, "n h w S K"]:
    """What every code of every token of n images with grids of one size costs, with the axis S.

    Raises:
        InputError: An assigner that knows no costs of codes, another shape, NaN or infinity.
    """
    if not assigner.takes_code_costs:
        raise InputError(
            f"code_costs: expected them only for Amortised and Joint, found {type(assigner).__name__}; use "
            "Tokenizer.replace(assigner=Joint())."
        )
    costs, wanted = as_array(name, costs), (n, *token_shape(codebook, grid), codebook.num_codes)
    if costs.shape != wanted:
        raise InputError(f"{name}: expected one for every code of every token, {wanted}, found {costs.shape}.")
    return _finite(name, costs).reshape(n, *grid, codebook.num_quantizers, codebook.num_codes)
