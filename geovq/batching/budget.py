"""How much a plan allows at once: rows of a call, and passes of a row, from the plan's memory and the decoder's shapes."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from geovq.batching.memory import DecoderMemory, RowMemory, decoder_memory
from geovq.batching.plan import Plan, Settled, settle
from geovq.validation import InputError

Work = Literal["decodes", "products", "gradients"]
"""Passes of a latent: images alone, tangents and cotangents that share one linearisation, or gradients at places of their own."""


class Share(NamedTuple):
    """What a device computes at once."""

    rows: int
    """Rows of a call."""
    passes: int
    """Passes of each row at once."""


def passes_within(
    plan: Plan,
    decode: Callable,
    shape: Sequence[int],
    *,
    work: Work = "products",
    held: int | Callable[[DecoderMemory], int] = 0,
    least: int = 1,
    remedy: str = "take smaller images",
    dtype: Any = np.float32,
) -> int:
    """Passes through the decoder that one latent is given at once.

    Args:
        plan: Says how many at most, and in how much memory.
        decode: Takes one latent to one image.
        shape: Of the latent.
        work: Of which kind the passes are.
        held: Bytes that the computation holds beside, such as a Jacobian, or a function of the decoder's bytes that says so.
        least: Passes that are needed at once at least.
        remedy: What the message tells the user to do where they do not fit, beside a plan of more memory.
        dtype: Of the latent.

    Returns:
        `plan.passes`, or fewer where memory holds fewer, and no fewer than `least`.

    Raises:
        InputError: Not even the least fits.
    """
    settled, memory = settle(plan), decoder_memory(decode, shape, dtype)
    if memory is None:
        return max(least, settled.passes)
    beside = held(memory) if callable(held) else held
    row = getattr(memory, work)(beside)._replace(least=least, remedy=remedy)
    return max(least, divide(settled, memory, row, shape, passes=max(least, settled.passes)).passes)


def divide(plan: Settled, memory: DecoderMemory, row: RowMemory, shape: Sequence[int], *, passes: int) -> Share:
    """Rows of a call, and passes of each of them at once.

    Args:
        plan: Says how many passes at most, and in how much memory.
        memory: Of the decoder.
        row: Of the computation.
        shape: Of one latent, for the message.
        passes: That a row takes if it is not divided.

    Returns:
        At least one row. It is divided where its passes are more than the plan's, or do not fit.

    Raises:
        InputError: The least passes of one row do not fit.
    """
    free = plan.memory - memory.parameters
    needed = row.held + min(row.least, passes) * row.each
    if needed > free:
        raise InputError(
            f"plan: expected at least {as_text(needed + memory.parameters)} for latents {tuple(shape)} of this decoder, found "
            f"{as_text(plan.memory)}; {row.remedy}, or pass plan=geovq.Plan(memory={needed + memory.parameters})."
        )
    at_once = max(1, min(plan.passes, (free - row.held) // max(1, row.each)))
    if passes > at_once:
        return Share(1, at_once)
    return Share(max(1, min(plan.passes // passes, free // max(1, row.held + passes * row.each))), at_once)


def rows_of_call(n: int, most: int) -> int:
    """Rows that calls for n rows take: `most`, or the next power of two for fewer, so that few sizes are compiled."""
    return min(most, 1 << (n - 1).bit_length())


def as_text(size: int) -> str:
    """Bytes as people read them."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
