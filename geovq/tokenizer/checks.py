"""Input of a tokenizer that does not fit its codebook and its assigner is refused."""

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.base import Assigner, Codebook
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.validation import InputError, as_array, check_finite, check_images, check_tokens


def as_codebook(codebook: Codebook) -> Codebook:
    """The codebook with codes float32 (S, K, d) and metrics float32.

    Args:
        codebook: Codes (K, d) or (S, K, d), and mean metrics.

    Raises:
        InputError: Codes or metrics of other shapes, or not finite.
    """
    codes, metrics = as_quantizers(codebook.codes), np.asarray(codebook.position_metrics, np.float32)
    d = codes.shape[-1]
    if metrics.ndim != 4 or metrics.shape[2:] != (d, d):
        raise InputError(
            f"position_metrics: expected shape (h, w, {d}, {d}), found {metrics.shape}; pass those of the codes."
        )
    check_finite("position_metrics", metrics)
    return Codebook(codes, metrics)


def some_latents(codebook: Codebook) -> Float[np.ndarray, "2 h w d"]:
    """Two grids of codes that are as different as the codebook's size lets them be."""
    h, w = codebook.grid
    first = np.arange(h * w).reshape(h, w, 1) % codebook.num_codes
    tokens = np.stack([first, codebook.num_codes - 1 - first])
    return sum_codes(codebook.codes, np.repeat(tokens, codebook.num_quantizers, axis=-1))


def as_latents(
    latents: np.ndarray, metrics: np.ndarray | None, codebook: Codebook
) -> tuple[Float[np.ndarray, "n h w d"], Float[np.ndarray, "n h w d d"] | None]:
    """Latents (n, h, w, d) of this codebook as float32, and a metric for each token if they are given.

    Raises:
        InputError: With the shape or the first number.
    """
    latents, wanted = as_array("latents", latents), (*codebook.grid, codebook.codes.shape[-1])
    if latents.ndim != 4 or latents.shape[1:] != wanted or len(latents) == 0:
        raise InputError(f"latents: expected shape (n, {', '.join(map(str, wanted))}), found {latents.shape}.")
    latents = _finite("latents", latents)
    if metrics is None:
        return latents, None
    metrics = as_array("metrics", metrics)
    if metrics.shape != (*latents.shape, wanted[-1]):
        raise InputError(f"metrics: expected one per token, {(*latents.shape, wanted[-1])}, found {metrics.shape}.")
    return latents, _finite("metrics", metrics)


def _finite(name: str, values: np.ndarray) -> Float[np.ndarray, "..."]:
    """The same as float32, in which all have to be finite."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    check_finite(name, values)
    return values


def check_images_of(images: np.ndarray, image_shape: tuple[int, ...], n: int) -> Float[np.ndarray, "n H W C"]:
    """The images, one for each of n latents, as floats in [0, 1].

    Raises:
        InputError: Another number, shape, dtype or range.
    """
    images = check_images(images, image_shape)
    if len(images) != n:
        raise InputError(f"images: expected {n}, one for each latent, found {len(images)}.")
    return images


def as_grids(tokens: np.ndarray, codebook: Codebook) -> Int[np.ndarray, "n h w S"]:
    """Grids of tokens of this codebook, int32, with the axis S that the door leaves out where S = 1.

    Raises:
        InputError: Another shape, or tokens outside 0..K-1, with their count and the first position.
    """
    tokens, wanted = as_array("tokens", tokens), token_shape(codebook)
    if tokens.ndim != 1 + len(wanted) or tokens.shape[1:] != wanted or len(tokens) == 0:
        raise InputError(
            f"tokens: expected shape (n, {', '.join(map(str, wanted))}) with n of at least 1, found {tokens.shape}; reshape "
            "them to grids."
        )
    tokens = check_tokens(tokens, codebook.num_codes)
    return tokens[..., None] if codebook.num_quantizers == 1 else tokens


def token_shape(codebook: Codebook) -> tuple[int, ...]:
    """Shape of the tokens of an image as users see it: (h, w), or (h, w, S) where tokens have several codes."""
    return codebook.grid if codebook.num_quantizers == 1 else (*codebook.grid, codebook.num_quantizers)


def as_start(start: np.ndarray, assigner: Assigner, codebook: Codebook, n: int) -> Int[np.ndarray, "n h w S"]:
    """Tokens of n images that an assigner goes on with.

    Raises:
        InputError: An assigner that starts from none, or tokens that do not fit.
    """
    if not assigner.needs_images:
        raise InputError(
            f"start: expected tokens only for Amortised, Joint and Greedy, which go on with them, found "
            f"{type(assigner).__name__}; leave them out."
        )
    grids = as_grids(start, codebook)
    if len(grids) != n:
        raise InputError(f"start: expected {n} grids, one for each image, found {len(grids)}.")
    return grids


def as_code_costs(costs: np.ndarray, assigner: Assigner, codebook: Codebook, n: int) -> Float[np.ndarray, "n h w S K"]:
    """What every code of every token of n images costs, with the axis S.

    Raises:
        InputError: An assigner that knows no costs of codes, another shape, NaN or infinity.
    """
    if not assigner.takes_code_costs:
        raise InputError(
            f"code_costs: expected them only for Amortised and Joint, found {type(assigner).__name__}; use "
            "Tokenizer.replace(assigner=Joint())."
        )
    costs, wanted = as_array("code_costs", costs), (n, *token_shape(codebook), codebook.num_codes)
    if costs.shape != wanted:
        raise InputError(f"code_costs: expected one for every code of every token, {wanted}, found {costs.shape}.")
    return _finite("code_costs", costs).reshape(n, *codebook.grid, codebook.num_quantizers, codebook.num_codes)
