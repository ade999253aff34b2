"""What does not fit a tokenizer's codebook and assignment is refused."""

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.dispatch import NEEDS_IMAGES, TAKES_PRICES, Codebook
from geovq.validation import InputError, check_finite, check_images, check_tokens, check_whole


def check_probes(probes: int | None) -> None:
    """Refuses another number of products than None, for exact Jacobians, or at least 1.

    Raises:
        InputError: With the number.
    """
    if probes is not None:
        check_whole("probes", probes)


def check_latents(latents: np.ndarray, metrics: np.ndarray | None, codebook: Codebook) -> None:
    """Refuses latents that are not (n, h, w, d) of this codebook or not finite, and metrics that are not one for each token.

    Raises:
        InputError: With the shape or the first number.
    """
    wanted = (*codebook.grid, codebook.codes.shape[-1])
    if latents.ndim != 4 or latents.shape[1:] != wanted or len(latents) == 0:
        raise InputError(f"latents: expected shape (n, {', '.join(map(str, wanted))}), found {latents.shape}.")
    check_finite("latents", latents)
    if metrics is None:
        return
    if metrics.shape != (*latents.shape, wanted[-1]):
        raise InputError(f"metrics: expected one per token, {(*latents.shape, wanted[-1])}, found {metrics.shape}.")
    check_finite("metrics", metrics)


def check_images_of(
    images: np.ndarray, image_shape: tuple[int, ...], n: int, of: str = "latent"
) -> Float[np.ndarray, "n H W C"]:
    """The images, one for each of n latents or grids of tokens, as floats in [0, 1].

    Raises:
        InputError: Another number, shape, dtype or range.
    """
    images = check_images(images, image_shape)
    if len(images) != n:
        raise InputError(f"images: expected {n}, one for each {of}, found {len(images)}.")
    return images


def check_grids(tokens: np.ndarray, codebook: Codebook) -> Int[np.ndarray, "n h w"]:
    """Grids of tokens of this codebook, int32.

    Raises:
        InputError: Another shape, or tokens outside 0..K-1, with their count and the first position.
    """
    tokens, wanted = np.asarray(tokens), codebook.token_shape
    if tokens.ndim != 1 + len(wanted) or tokens.shape[1:] != wanted or len(tokens) == 0:
        raise InputError(
            f"tokens: expected shape (n, {', '.join(map(str, wanted))}) with n of at least 1, found {tokens.shape}; reshape "
            "them to grids."
        )
    return check_tokens(tokens, codebook.k)


def check_start(start: np.ndarray, assign: str, codebook: Codebook, n: int) -> Int[np.ndarray, "n h w"]:
    """Tokens of n images that an assignment goes on with.

    Raises:
        InputError: An assignment that starts from none, or tokens that do not fit.
    """
    if assign not in NEEDS_IMAGES:
        raise InputError(
            f"start: expected tokens only for {', '.join(NEEDS_IMAGES)}, which go on with them, found {assign}; leave them out."
        )
    start = check_grids(start, codebook)
    if len(start) != n:
        raise InputError(f"start: expected {n} grids, one for each image, found {len(start)}.")
    return start


def check_prices(prices: np.ndarray, assign: str, codebook: Codebook, n: int) -> Float[np.ndarray, "n h w K"]:
    """What every code of every token of n images costs.

    Raises:
        InputError: An assignment that knows no prices, another shape, NaN or infinity.
    """
    if assign not in TAKES_PRICES:
        raise InputError(
            f"prices: expected them only for {' and '.join(TAKES_PRICES)}, found {assign}; use "
            f"Tokenizer.replace(assign='{TAKES_PRICES[-1]}')."
        )
    prices, wanted = np.asarray(prices), (n, *codebook.token_shape, codebook.k)
    if prices.shape != wanted:
        raise InputError(f"prices: expected one for every code of every token, {wanted}, found {prices.shape}.")
    check_finite("prices", prices)
    return prices
