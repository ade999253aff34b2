"""How much of benchmarks.gpt is measured."""

from typing import Literal, NamedTuple

from train.config.options import GPTOptions

ScheduleName = Literal["reduced", "full", "smoke"]
Part = Literal["study", "memory", "step", "sampling", "layouts"]


class Schedule(NamedTuple):
    """How much is measured of large grids, and of several codes a token."""

    options: GPTOptions
    """Sizes of the Transformer, and its batch where memory is measured."""
    grids: tuple[tuple[int, int], ...]
    """Whose training steps' memory is measured; times are those of the last."""
    batch: int
    """Sequences of a training step that is timed, and sequences that are sampled together."""
    passes: int
    """Tokens that are drawn without a cache; the seconds of all are in proportion."""
    rounds: int
    epochs: int
    """Of the Transformers of several codes."""
    images: int
    """They are trained on at most."""


_LARGE = GPTOptions(batch_size=128)

SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(_LARGE, ((4, 4), (16, 16), (32, 32)), batch=4, passes=32, rounds=5, epochs=4, images=20_000),
    "full": Schedule(_LARGE, ((4, 4), (16, 16), (32, 32)), batch=8, passes=1024, rounds=7, epochs=30, images=60_000),
    "smoke": Schedule(
        GPTOptions(layers=1, width=16, heads=2, batch_size=4),
        ((2, 2), (12, 12)),
        batch=2,
        passes=8,
        rounds=1,
        epochs=1,
        images=256,
    ),
}
