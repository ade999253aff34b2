"""Tokens and labels that a GPT is trained on: checked, and without the images that cannot be used."""

import numpy as np
from jaxtyping import Int

from geovq.validation import InputError


def check_labels(labels: np.ndarray, classes: int) -> Int[np.ndarray, " n"]:
    """Labels as int32 in 0..classes-1.

    Args:
        labels: Integers (n,).
        classes: Number of classes.

    Returns:
        int32 (n,).

    Raises:
        InputError: Another rank, a dtype that is not integer, or an unknown class, with the count and the first.
    """
    labels = np.asarray(labels)
    wanted = f"integers of shape (n,) in 0..{classes - 1}"
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels: expected {wanted}, found {labels.dtype} of shape {labels.shape}; pass a class number each."
        )
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise InputError(
            f"labels: expected {wanted}, found {len(bad)} outside, the first at {bad[0]} with value {labels[bad[0]]}; "
            "name a class that the model was trained on."
        )
    return labels.astype(np.int32)


def keep_valid(
    tokens: np.ndarray, labels: np.ndarray | None, num_codes: int
) -> tuple[Int[np.ndarray, "m ..."], Int[np.ndarray, " m"] | None, int]:
    """Drops the images that hold a token outside 0..num_codes-1, as the original study did with nodes it could not reach.

    Args:
        tokens: Integers (n, ...), the first axis counting images.
        labels: (n,) labels that go with them, or None.
        num_codes: Number of codes K.

    Returns:
        Tokens and labels of the m images that are left, and the number of images lost.

    Raises:
        InputError: Tokens or labels that are not integers, labels of another length, or nothing left.
    """
    tokens = np.asarray(tokens)
    if not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(
            f"tokens: expected integers in 0..{num_codes - 1}, found {tokens.dtype}; pass what encode returned."
        )
    labels = None if labels is None else np.asarray(labels)
    if labels is not None and (labels.shape != (len(tokens),) or not np.issubdtype(labels.dtype, np.integer)):
        raise InputError(
            f"labels: expected integers of shape ({len(tokens)},), found {labels.dtype} of shape {labels.shape}; pass one for "
            "each image."
        )
    valid = ((tokens >= 0) & (tokens < num_codes)).all(axis=tuple(range(1, tokens.ndim)))
    if not valid.any():
        raise InputError(
            f"tokens: expected images whose tokens are all in 0..{num_codes - 1}, found none among {len(tokens)}; "
            "assign them again, or name the right number of codes."
        )
    kept = None if labels is None else labels[valid].astype(np.int32)
    return tokens[valid].astype(np.int32), kept, int((~valid).sum())
