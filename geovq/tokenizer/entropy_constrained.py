"""Tokens that decode well and that a model of tokens expects: entropy-constrained assignment (Chou, Lookabaugh & Gray 1989).

Many grids of tokens decode to nearly the same image, and `Joint` takes the best, however surprising. Here nats have a weight: the
tokens minimise the image's squared error plus nat_weight · nats, where a model that was trained on other tokens of the same codes
says how many nats they need.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from geovq.assignment.whitened import Whitened
from geovq.batching.budget import rows_of_call
from geovq.batching.chunks import Progress, map_chunks
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.models.gpt import GPT, sequences_of_pass
from geovq.tokenizer.images import as_pixels
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, as_intensities, check_whole

CodeNats = Callable[[Int[np.ndarray, "n h w"]], Float[np.ndarray, "n h w K"]]
"""Takes tokens to the nats that every code would need in the place of each of them, given the tokens before it."""

ROUNDS = 2

_AT_ONCE = 256
"""Sequences in a pass of the Transformer at most."""

_NUMBERS = 1 << 27
"""Costs of codes that are in memory together at most, beside those of one image (512 MiB)."""


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
        at_once = rows_of_call(len(rows), min(_AT_ONCE, sequences_of_pass(config)))
        found = map_chunks(lambda batch: nats(params, batch), rows, chunk=at_once, pad=True)
        return found.reshape(*tokens.shape, config.num_codes)

    return of_tokens


def assign_entropy_constrained(
    tokenizer: Tokenizer,
    images: np.ndarray,
    nats: CodeNats,
    *,
    nat_weight: float,
    start: Int[np.ndarray, "n h w"] | None = None,
    rounds: int = ROUNDS,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Int[np.ndarray, "n h w"]:
    """Tokens of little squared error + nat_weight · nats.

    In each round the tokens descend at the nats that every code has after the tokens of the round before; an image whose tokens
    do not cost less after that keeps those it had.

    Args:
        tokenizer: With one code a token, and the assigner `Amortised` or `Joint`, by whose steps the tokens descend.
        images: (n, H, W, C) of one size, uint8 or floats in [0, 1].
        nats: What codes need after other tokens, such as `code_nats` of a GPT. It is called with as many images at a time as are
            in memory together.
        nat_weight: Squared intensity that a nat weighs, at least 0. Where the VAE's pixels have the variance σ², 2 σ² is what a
            nat weighs in its bound; more makes for tokens that are easier to predict.
        start: Tokens to begin with, best those that the model was trained on; by default those of `Whitened`.
        rounds: At least 1.
        plan: As for `Tokenizer.encode`.
        progress: Called with the images done.

    Returns:
        int32 (n, h, w); no image's squared error + nat_weight · nats is above that of its start.

    Raises:
        InputError: Images, tokens or an assigner that do not fit, several codes a token, a weight below 0, or nats of another
            shape.
    """
    images = as_intensities(as_pixels(images, tokenizer.sizes))
    check_whole("rounds", rounds)
    if not tokenizer.assigner.takes_code_costs:
        raise InputError(
            f"tokenizer: expected the assigner Amortised or Joint, found {type(tokenizer.assigner).__name__}; use "
            "Tokenizer.replace(assigner=Joint())."
        )
    if tokenizer.num_quantizers > 1:
        raise InputError(
            f"tokenizer: expected one code a token, found {tokenizer.num_quantizers}; fit one with num_quantizers=1."
        )
    if not 0 <= nat_weight < float("inf"):
        raise InputError(f"nat_weight: expected a finite number of at least 0, found {nat_weight}; 0 is none.")
    tokens = tokenizer.replace(assigner=Whitened()).encode(images, plan=plan) if start is None else np.asarray(start)
    if len(tokens) != len(images):
        raise InputError(f"start: expected {len(images)} grids, found {len(tokens)}; pass one for each image.")

    def descend(block: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        code_costs, totals = _costs(tokenizer, block, tokens, nats, nat_weight, plan)
        for _ in range(rounds):
            trial = tokenizer.encode(block, start=tokens, code_costs=code_costs, plan=plan)
            trial_costs, trial_totals = _costs(tokenizer, block, trial, nats, nat_weight, plan)
            better = trial_totals < totals
            tokens = np.where(better[:, None, None], trial, tokens)
            code_costs = np.where(better[:, None, None, None], trial_costs, code_costs)
            totals = np.where(better, trial_totals, totals)
        if progress is not None:
            progress(len(block))
        return tokens.astype(np.int32)

    count = max(1, _NUMBERS // (tokens[0].size * tokenizer.num_codes))
    blocks = [slice(i, i + count) for i in range(0, len(images), count)]
    return np.concatenate([descend(images[rows], tokens[rows]) for rows in blocks])


def _costs(
    tokenizer: Tokenizer, images: np.ndarray, tokens: np.ndarray, nats: CodeNats, nat_weight: float, plan: Plan
) -> tuple[Float[np.ndarray, "n h w K"], Float[np.ndarray, " n"]]:
    """What every code costs in the place of every token, and what each image costs in all."""
    decoded = tokenizer.decode(tokens, plan=plan)
    code_costs = np.float32(nat_weight) * np.asarray(nats(tokens), np.float32)
    wanted = (*tokens.shape, tokenizer.num_codes)
    if code_costs.shape != wanted:
        raise InputError(
            f"nats: expected those of every code in the place of every token, {wanted}, found {code_costs.shape}; see "
            "`code_nats`."
        )
    chosen = np.take_along_axis(code_costs, tokens[..., None], axis=3).sum(axis=(1, 2, 3))
    return code_costs, np.sum((decoded - images) ** 2, axis=(1, 2, 3)) + chosen
