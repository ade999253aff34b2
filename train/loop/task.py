"""What the training loop trains: a network's task, with its loss, its batches and its validation."""

import abc
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

State = dict[str, Any]
"""All that a step changes: "params", of which the best are kept, and what else it carries, such as an optimizer's moments."""

Means = Mapping[str, jax.Array]
"""Means over a batch, for the log."""


class Task(abc.ABC):
    """A network that is trained."""

    convolves: bool = True
    """Whether it has convolutions, for which a step is compiled in another way on a CPU."""

    @abc.abstractmethod
    def initial_state(self) -> State:
        """The state before the first step. The loop takes over the memory of its arrays."""

    @abc.abstractmethod
    def step(self, state: State, key: jax.Array, *batch: Any) -> tuple[State, Means]:
        """The next state. Pure; the loop compiles it."""

    @abc.abstractmethod
    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """The arrays of the training images with these indices."""

    @abc.abstractmethod
    def validate(self, state: State) -> Mapping[str, float]:
        """Scores on the validation images; the parameters with the least "loss" are kept."""


class GradientTask(Task):
    """A task whose parameters follow the gradient of a loss and nothing else."""

    def __init__(self, params: PyTree, optimizer: optax.GradientTransformation, average: float = 0.0):
        """A task.

        Args:
            params: Initial parameters.
            optimizer: Turns gradients into steps.
            average: In [0, 1). Above 0, "params", which are validated and kept, are a moving average of the parameters that
                follow the gradient; a step leaves this part of the average, and less in the first steps,
                (1 + step) / (10 + step), so that the average does not hold on to the initial parameters.
        """
        self._params, self._optimizer, self._average = params, optimizer, average

    @abc.abstractmethod
    def loss(self, params: PyTree, key: jax.Array, *batch: Any) -> tuple[jax.Array, Means]:
        """What training lowers, and means for the log."""

    def initial_state(self) -> State:
        """Parameters and the optimizer's moments; with an average, both are "trained"."""
        state = {"params": self._params, "optimizer": self._optimizer.init(self._params)}
        if not self._average:
            return state
        return {"params": jax.tree.map(jnp.array, self._params), "trained": state, "averaged": jnp.float32(0)}

    def step(self, state: State, key: jax.Array, *batch: Any) -> tuple[State, Means]:
        """A step along the gradient, and of the average if there is one."""
        if not self._average:
            return self._gradient_step(state, key, *batch)
        after, means = self._gradient_step(state["trained"], key, *batch)
        count = state["averaged"] + 1
        kept = jnp.minimum(self._average, count / (9 + count))
        params = optax.incremental_update(after["params"], state["params"], 1 - kept)
        return {"params": params, "trained": after, "averaged": count}, means

    def _gradient_step(self, state: State, key: jax.Array, *batch: Any) -> tuple[State, Means]:
        gradients, means = jax.grad(self.loss, has_aux=True)(state["params"], key, *batch)
        return state | apply_gradients(self._optimizer, state, gradients), means


def apply_gradients(optimizer: optax.GradientTransformation, state: State, gradients: PyTree) -> State:
    """The "params" and "optimizer" of a state after a step along the gradients."""
    updates, moments = optimizer.update(gradients, state["optimizer"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "optimizer": moments}
