"""How long a network is trained, how often it is saved, and the optimizer's learning rate."""

from typing import NamedTuple, Self

import optax

from geovq.validation import InputError
from train.config.options import TrainingOptions


class Schedule(NamedTuple):
    """How long and how often."""

    examples: int
    batch_size: int
    epochs: int
    patience: int
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: int
    """Steps."""
    seed: int
    learning_rate: float | None = None
    """For messages; the optimizer has its own."""

    @classmethod
    def of(cls, examples: int, options: TrainingOptions) -> Self:
        """The schedule that a network's options ask for; of several epochs, the first.

        Raises:
            InputError: A batch of more images than there are.
        """
        if options.batch_size > examples:
            raise InputError(
                f"batch_size: expected 1..{examples}, the number of training images, found {options.batch_size}."
            )
        epochs = options.epochs if isinstance(options.epochs, int) else options.epochs[0]
        common = options.patience, options.checkpoint_every, options.seed, options.learning_rate
        return cls(examples, options.batch_size, epochs, *common)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return self.examples // self.batch_size

    @property
    def steps(self) -> int:
        """All steps."""
        return self.epochs * self.steps_per_epoch

    def adamw(self, options: TrainingOptions) -> optax.GradientTransformation:
        """AdamW; the rate rises over at most 200 steps and a tenth of all, then falls as a cosine to a hundredth."""
        warmup, peak = min(200, self.steps // 10), options.learning_rate
        rate = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, self.steps, peak / 100)
        return optax.adamw(rate, weight_decay=options.weight_decay)
