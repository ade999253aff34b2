"""PyTorch functions as JAX functions of their weights and one batch."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from geovq.decoder.adapters import AnyArray
from geovq.decoder.checks import describe
from geovq.decoder.pytorch.copies import Frozen, State
from geovq.decoder.pytorch.environment import environment, torch_as_jax
from geovq.validation import InputError

Take = Callable[[Any], Any]
"""Takes what a PyTorch function returned to its part that is wanted."""


class TorchFunction:
    """A PyTorch function of one batch, as a function of its weights and the batch that JAX can trace.

    The batch is cast to the type of the first weights in the function's own modules, as PyTorch requires, and the result to
    float32.
    """

    def __init__(self, name: str, frozen: Frozen, index: int, take: Take) -> None:
        """One of the functions of `frozen`, and what is taken of its result; `name` is for messages."""
        self.name, self.holder, self.function, self.take = name, frozen.holder, frozen.functions[index], take
        weights = [frozen.state[name] for name in frozen.own[index]]
        floats = [weight.dtype for weight in weights if jnp.issubdtype(weight.dtype, jnp.floating)]
        self.dtype = floats[0] if floats else jnp.dtype(jnp.float32)
        self.structure = name, frozen.structure, index, take, self.dtype

    def __eq__(self, other: object) -> bool:
        """Functions that differ in weights alone are equal, so that they share compiled code."""
        return isinstance(other, TorchFunction) and self.structure == other.structure

    def __hash__(self) -> int:
        """As equality."""
        return hash(self.structure)

    def __call__(self, state: State, batch: AnyArray) -> jax.Array:
        """The wanted part of the result, as float32."""
        return _run(self, state, batch)


@functools.partial(jax.jit, static_argnums=0)
def _run(function: TorchFunction, state: State, batch: AnyArray) -> jax.Array:
    try:
        with _lock, torch_as_jax() as entered:
            tensors = entered.j2t_iso({name: jnp.asarray(value) for name, value in state.items()})
            given = {name: tensors[first] for name, first in function.holder.aliases.items() if first in tensors}
            found = _call(function, given, entered.j2t_iso(jnp.asarray(batch, function.dtype)))
            part = function.take(found)
    except InputError:
        raise
    except Exception as error:  # modules of any library
        raise InputError(
            f"{function.name}: expected a PyTorch function that torchax can trace for a batch {tuple(batch.shape)}, found that "
            f"it fails with {describe(error)}; {_remedy(error)}."
        ) from error
    return part.astype(jnp.float32)


def _remedy(error: Exception) -> str:
    if isinstance(error, jax.errors.JAXTypeError):
        return "let no control flow depend on the values of tensors, and convert none by float(), item() or numpy()"
    if "Expect a Tensor or a View" in str(error):
        return (
            "register the module's tensors as buffers, create others with device=x.device, and pass the module or its method "
            "instead of a function that reaches it through another one"
        )
    if type(error).__name__ == "OperatorNotFound":
        return "replace that operation, which torchax does not have"
    return "call the module on such a batch in PyTorch to see whether the shape is wrong"


def _call(function: TorchFunction, tensors: dict[str, Any], batch: Any) -> Any:
    import torch

    key = environment().param.prng
    found = torch.func.functional_call(
        function.holder, tensors, (function.function, batch), tie_weights=False, strict=False
    )
    if environment().param.prng is not key:
        raise InputError(
            f"{function.name}: expected a function without randomness, found that it draws random numbers; return the mean "
            "of the latents instead of a sample, and call dropout with training=self.training."
        )
    return found


_lock = threading.RLock()
"""Weights are put into the copied modules while they are traced, by one thread at a time."""
