"""Tokens that decode well and that a model of tokens expects: entropy-constrained assignment (Chou, Lookabaugh & Gray 1989).

Many grids of tokens decode to nearly the same image, and `joint` takes the best, however surprising. Here a nat has a price: made
small is the image's squared error plus price · nats, the nats being what a model needs that was trained on other tokens of the
same codes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from geovq.assignment.dispatch import TAKES_PRICES
from geovq.batching.chunks import Progress, map_chunks
from geovq.batching.run import DEFAULT_PLAN, Plan
from geovq.models.gpt import GPT
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images, check_whole

CodeNats = Callable[[Int[np.ndarray, "n h w"]], Float[np.ndarray, "n h w K"]]
"""Takes tokens to the nats that every code would need in the place of each of them, given the tokens before it."""

ROUNDS = 2

_AT_ONCE = 256
"""Sequences in a pass of the Transformer."""

_BLOCK = 1024
"""Images whose prices are in memory together."""


def code_nats(model: GPT) -> CodeNats:
    """What a Transformer expects of images of no class in particular.

    Args:
        model: Trained with class_dropout, or without classes.

    Raises:
        InputError: A class-conditional model that was trained without class_dropout.
    """
    config = model.config
    if config.classes and not config.class_dropout:
        raise InputError(
            "code_nats: expected a model that was trained with class_dropout, or without classes, found one that knows images "
            "of a class alone; train another."
        )
    graphdef, params = nnx.split(model)

    @jax.jit
    def nats(params, tokens):
        labels = jnp.full(len(tokens), config.classes) if config.classes else None
        return -jax.nn.log_softmax(nnx.merge(graphdef, params)(tokens, labels))

    def of_tokens(tokens: Int[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w K"]:
        rows = tokens.reshape(len(tokens), -1)
        found = map_chunks(lambda batch: nats(params, batch), rows, chunk=_AT_ONCE, pad=True)
        return found.reshape(*tokens.shape, config.num_codes)

    return of_tokens


def assign_entropy_constrained(
    tokenizer: Tokenizer,
    images: np.ndarray,
    nats: CodeNats,
    *,
    price: float,
    start: Int[np.ndarray, "n h w"] | None = None,
    rounds: int = ROUNDS,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n h w"]:
    """Tokens of little squared error + price · nats.

    In each round the tokens descend at the nats that every code has after the tokens of the round before; an image whose tokens
    do not cost less after that keeps those it had.

    Args:
        tokenizer: With one code a token, and assignment `amortised` or `joint`, by whose steps the tokens descend.
        images: (n, H, W, C), uint8 or floats in [0, 1].
        nats: What codes need after other tokens, such as `code_nats` of a GPT. It is called with as many images at a time as are
            in memory together.
        price: What a nat costs, intensity², at least 0. Where the VAE's pixels have the variance σ², 2 σ² is what a nat costs in
            its bound; more makes for tokens that are easier to predict.
        start: Tokens (n, h, w) to begin with, best those that the model was trained on; by default those of `whitened`.
        rounds: At least 1.
        plan: As for `Tokenizer.encode`.
        progress: Called with the images done.

    Returns:
        int32 (n, h, w); no image's squared error + price · nats is above that of its start.

    Raises:
        InputError: Images, tokens or an assignment that do not fit, several codes a token, a price below 0, or nats of another
            shape.
    """
    images = check_images(images, tokenizer.image_shape)
    check_whole("rounds", rounds)
    if tokenizer.assign not in TAKES_PRICES:
        raise InputError(
            f"tokenizer: expected assignment {' or '.join(TAKES_PRICES)}, found {tokenizer.assign}; use "
            f"Tokenizer.replace(assign='{TAKES_PRICES[-1]}')."
        )
    if tokenizer.codes.ndim != 2:
        raise InputError("tokenizer: expected one code for a token, found stages; fit one with stages=1.")
    if not 0 <= price < float("inf"):
        raise InputError(f"price: expected a finite number of at least 0, found {price}; 0 is none.")
    tokens = tokenizer.replace(assign="whitened").encode(images) if start is None else np.asarray(start)
    if len(tokens) != len(images):
        raise InputError(f"start: expected {len(images)} grids, found {len(tokens)}; pass one for each image.")

    def descended(block: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        prices, costs = _priced(tokenizer, block, tokens, nats, price)
        for _ in range(rounds):
            trial = tokenizer.encode(block, start=tokens, prices=prices, plan=plan)
            trial_prices, trial_costs = _priced(tokenizer, block, trial, nats, price)
            better = trial_costs < costs
            tokens = np.where(better[:, None, None], trial, tokens)
            prices, costs = (
                np.where(better[:, None, None, None], trial_prices, prices),
                np.where(better, trial_costs, costs),
            )
        if progress is not None:
            progress(len(block))
        return tokens.astype(np.int32)

    blocks = [slice(i, i + _BLOCK) for i in range(0, len(images), _BLOCK)]
    return np.concatenate([descended(images[rows], tokens[rows]) for rows in blocks])


def _priced(
    tokenizer: Tokenizer, images: np.ndarray, tokens: np.ndarray, nats: CodeNats, price: float
) -> tuple[Float[np.ndarray, "n h w K"], Float[np.ndarray, " n"]]:
    """What every code costs in the place of every token, and what each image costs."""
    decoded, prices = tokenizer.decode(tokens), np.float32(price) * np.asarray(nats(tokens), np.float32)
    wanted = (*tokens.shape, tokenizer.k)
    if prices.shape != wanted:
        raise InputError(
            f"nats: expected those of every code in the place of every token, {wanted}, found {prices.shape}; see "
            "`code_nats`."
        )
    paid = np.take_along_axis(prices, tokens[..., None], axis=3).sum(axis=(1, 2, 3))
    return prices, np.sum((decoded - images) ** 2, axis=(1, 2, 3)) + paid
