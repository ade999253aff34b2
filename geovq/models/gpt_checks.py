"""What a GPT refuses: sizes that make no model, and tokens and labels of other shapes."""

from typing import get_args

import numpy as np

from geovq.models.config import CodeLayout, GPTConfig
from geovq.validation import InputError, check_choice, check_whole


def check_config(config: GPTConfig) -> None:
    """Refuses sizes that make no model.

    Raises:
        InputError: A size that is no positive whole number, a negative number of classes, a grid that is not (h, w), heads that
            do not divide the width or have channels that cannot be rotated, an unknown layout of codes, dropout or class_dropout
            outside [0, 1), or class_dropout without classes.
    """
    if np.shape(config.grid) != (2,):
        raise InputError(f"GPT: expected a grid (h, w) of tokens, found {config.grid}; give (1, t) to a sequence.")
    for name in ("num_codes", "layers", "width", "heads", "num_quantizers"):
        check_whole(f"GPT: {name}", getattr(config, name))
    for side in config.grid:
        check_whole("GPT: grid", side)
    check_whole("GPT: classes", config.classes, 0)
    if config.width % config.heads:
        raise InputError(
            f"GPT: expected a width that the heads divide, found width {config.width} and {config.heads} heads; "
            f"choose {config.width // config.heads * config.heads or config.heads}."
        )
    if config.rotary and config.width // config.heads % 4:
        raise InputError(
            f"GPT: expected heads of a multiple of 4 channels for rotary positions, found {config.width // config.heads}; change "
            "the width, the heads, or take learned positions."
        )
    check_choice("GPT: code_layout", config.code_layout, get_args(CodeLayout))
    if not 0 <= config.dropout < 1 or not 0 <= config.class_dropout < 1:
        raise InputError(
            f"GPT: expected dropout and class_dropout in [0, 1), found {config.dropout} and {config.class_dropout}; 0 is none."
        )
    if config.class_dropout and not config.classes:
        raise InputError("GPT: expected no class_dropout without classes; leave it out, or give the number of classes.")


def check_shapes(config: GPTConfig, tokens: tuple[int, ...], labels: tuple[int, ...] | None) -> None:
    """Refuses shapes of tokens and labels that do not fit the model.

    Raises:
        InputError: Tokens not (n, t) or (n, t, S), labels not (n,), labels without classes, or classes without labels.
    """
    if not tokens or tokens[1:] != config.token_shape:
        wanted = ", ".join(map(str, config.token_shape))
        raise InputError(f"tokens: expected shape (n, {wanted}), found {tokens}; flatten grids in raster order.")
    check_conditioning(config, labels is not None)
    if labels is not None and labels != tokens[:1]:
        raise InputError(f"labels: expected shape {tokens[:1]}, found {labels}; pass one for each image.")


def check_conditioning(config: GPTConfig, labelled: bool) -> None:
    """Refuses labels for an unconditional model, and none for a class-conditional one.

    Raises:
        InputError: With what to do.
    """
    if labelled and config.classes == 0:
        raise InputError("labels: expected none, for the model has no classes; leave them out or train with classes.")
    if not labelled and config.classes > 0:
        raise InputError(f"labels: expected classes 0..{config.classes - 1}, found none; pass one for each image.")
