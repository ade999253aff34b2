"""What is trained, and how: the schedule, the optimizer, and steps along the gradient."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from geovq.validation import InputError
from train.config.options import Training

State = dict[str, Any]
"""All that a step changes: "params", of which the best are kept, and what else it carries, such as an optimizer's moments."""

Loss = Callable[..., tuple[jax.Array, Mapping[str, jax.Array]]]
"""Parameters, a key and the arrays of a batch -> what is lowered, and means over the batch to log."""


class Model(NamedTuple):
    """What is trained."""

    state: State
    step: Callable[..., tuple[State, Mapping[str, jax.Array]]]
    """A state, a key and the arrays of a batch -> the next state, and means over the batch to log. Pure; the loop compiles it."""
    batch: Callable[[np.ndarray], tuple[Any, ...]]
    """Indices of training images -> the arrays of that batch."""
    validate: Callable[[State], Mapping[str, float]]
    """A state -> scores on the validation images; the parameters with the least "loss" are kept."""


def by_gradient(
    params: chex.ArrayTree, loss: Loss, optimizer: optax.GradientTransformation
) -> tuple[State, Callable[..., tuple[State, Mapping[str, jax.Array]]]]:
    """The state and the step of a model whose parameters follow the gradient of a loss and nothing else."""

    def step(state: State, key: jax.Array, *batch: Any) -> tuple[State, Mapping[str, jax.Array]]:
        gradients, means = jax.grad(loss, has_aux=True)(state["params"], key, *batch)
        return state | descended(optimizer, state, gradients), means

    return {"params": params, "optimizer": optimizer.init(params)}, step


def averaged(
    params: chex.ArrayTree, loss: Loss, optimizer: optax.GradientTransformation, decay: float
) -> tuple[State, Callable[..., tuple[State, Mapping[str, jax.Array]]]]:
    """As `by_gradient`, but "params", which are validated and kept, are a moving average of those that follow the gradient.

    Args:
        params: Where it starts.
        loss: What is lowered.
        optimizer: How.
        decay: What a step leaves of the average, in (0, 1); less in the first steps, (1 + step) / (10 + step), so that the
            average does not hold on to the initial parameters.

    Returns:
        The state, which carries the others as "trained", and the step.
    """
    trained, one_step = by_gradient(params, loss, optimizer)

    def step(state: State, key: jax.Array, *batch: Any) -> tuple[State, Mapping[str, jax.Array]]:
        after, means = one_step(state["trained"], key, *batch)
        count = state["averaged"] + 1
        kept = jnp.minimum(decay, count / (9 + count))
        params = optax.incremental_update(after["params"], state["params"], 1 - kept)
        return {"params": params, "trained": after, "averaged": count}, means

    return {"params": jax.tree.map(jnp.array, params), "trained": trained, "averaged": jnp.float32(0)}, step


def descended(optimizer: optax.GradientTransformation, state: State, gradients: chex.ArrayTree) -> State:
    """The "params" and "optimizer" of a state after a step along the gradients."""
    updates, moments = optimizer.update(gradients, state["optimizer"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "optimizer": moments}


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

    @classmethod
    def of(cls, examples: int, options: Training) -> Self:
        """The schedule that a network's options ask for.

        Raises:
            InputError: A batch of more images than there are.
        """
        if options.batch_size > examples:
            raise InputError(
                f"batch_size: expected 1..{examples}, the number of training images, found {options.batch_size}."
            )
        epochs = options.epochs if isinstance(options.epochs, int) else options.epochs[0]
        return cls(examples, options.batch_size, epochs, options.patience, options.checkpoint_every, options.seed)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return self.examples // self.batch_size

    @property
    def steps(self) -> int:
        """All steps."""
        return self.epochs * self.steps_per_epoch


def adamw(schedule: Schedule, learning_rate: float, weight_decay: float) -> optax.GradientTransformation:
    """AdamW; the rate rises over at most 200 steps and a tenth of all, then falls as a cosine to a hundredth."""
    warmup = min(200, schedule.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup, schedule.steps, learning_rate / 100)
    return optax.adamw(rate, weight_decay=weight_decay)
