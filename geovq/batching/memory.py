"""Bytes that a decoder takes for one latent, estimated from its jaxpr: nothing is compiled, computed or timed.

Values are followed through the equations from where they are made to where they are used last; the most that lives at once
counts. XLA fuses elementwise operations: they write over an operand that is used no more, and what is broadcast for them is never
written. Parameters, and all else that does not vary from row to row, count once, however many rows and passes there are.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.tree_util import Partial, PyTreeDef

_LOOPS = {"scan", "while", "cond"}
"""Equations whose inner ones do not become part of those around them."""

_SAME_VALUES = {"reshape", "squeeze", "expand_dims", "copy", "stop_gradient", "sharding_constraint"}
"""Equations that move nothing."""

_WRITERS = (
    "conv_general_dilated",
    "dot_general",
    "gather",
    "scatter",
    "sort",
    "top_k",
    "concatenate",
    "pad",
    "slice",
    "cum",
    "reduce_",
    "select_and_",
    "arg",
    "transpose",
)
"""Beginnings of the names of equations that write an array of their own. All others are elementwise, or few."""


class DecoderMemory(NamedTuple):
    """Bytes that one latent takes in a decoder, beside its parameters."""

    forward: int
    """Live at once in a forward pass."""
    residuals: int
    """What a linearisation keeps, for all tangents and cotangents at this latent."""
    tangent: int
    """Live at once while one tangent is pushed forward, beside the residuals."""
    cotangent: int
    """Live at once while one cotangent is pulled back, beside the residuals."""
    image: int
    """The image itself."""
    parameters: int
    """Of the parameters, once for all latents."""

    def decodes(self, held: int = 0) -> "RowMemory":
        """Of a latent with so many held bytes of which images are decoded."""
        return RowMemory(held, self.forward)

    def products(self, held: int = 0) -> "RowMemory":
        """Of a latent whose tangents or cotangents share one linearisation."""
        return RowMemory(held + self.residuals + self.forward, max(self.tangent, self.cotangent))

    def gradients(self, held: int = 0) -> "RowMemory":
        """Of a latent around which gradients are computed, each at a place of its own."""
        return RowMemory(held, self.residuals + self.forward + self.cotangent)


class RowMemory(NamedTuple):
    """Bytes of one row of a computation, beside the decoder's parameters."""

    held: int
    """Bytes however few passes are made at once: residuals and results."""
    each: int
    """Bytes for each pass at once."""
    least: int = 1
    """The fewest passes that can be made at once."""
    remedy: str = "take smaller images"
    """What takes less memory."""


def decoder_memory(decode: Callable, shape: Sequence[int], dtype: Any = np.float32) -> DecoderMemory | None:
    """The bytes that one latent takes, with and without derivatives; kept for decoders of the same structure.

    Args:
        decode: Takes one latent to an array, or a tree of arrays.
        shape: Of one latent.
        dtype: Of the latent.

    Returns:
        An estimate for XLA's compiled code, within a factor of two and rather above for convolutional networks and perceptrons;
        None for a function that JAX cannot trace or differentiate, of which nothing is known.
    """
    return _decoder_memory(*_structure(decode, shape, dtype))


def function_memory(function: Callable, shape: Sequence[int], dtype: Any = np.float32) -> RowMemory | None:
    """Bytes of a function of one array of this shape, such as a batch of one image: held by its parameters, and live at once.

    None for a function that JAX cannot trace.
    """
    return _function_memory(*_structure(function, shape, dtype))


Structure = tuple[PyTreeDef, tuple[tuple[tuple[int, ...], Any], ...], tuple[int, ...], str, str]


def _structure(function: Callable, shape: Sequence[int], dtype: Any) -> Structure:
    """What compiled code depends on: the function, its parameters, its argument, and the widest float."""
    leaves, treedef = jax.tree.flatten(function if isinstance(function, Partial) else Partial(function))
    parameters = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    argument, widest = (jax.dtypes.canonicalize_dtype(each).name for each in (dtype, np.float64))
    return treedef, parameters, tuple(shape), argument, widest


@functools.lru_cache(maxsize=256)
def _function_memory(*structure: Any) -> RowMemory | None:
    function, argument = _placeholders(*structure)
    try:
        traced = jax.make_jaxpr(_call)(function, argument)
    except Exception:  # the caller's function may fail in any way, and is called next
        return None
    return RowMemory(_parameter_bytes(function, traced), _live_bytes(traced, varying=1))


@functools.lru_cache(maxsize=256)
def _decoder_memory(*structure: Any) -> DecoderMemory | None:
    decode, latent = _placeholders(*structure)
    try:
        image, forward = jax.eval_shape(_call, decode, latent), jax.make_jaxpr(_call)(decode, latent)
        push, pull = jax.eval_shape(_linearise, decode, latent)[1], jax.eval_shape(_transpose, decode, latent)
        residuals = jax.make_jaxpr(lambda d, z: _linearise(d, z)[1])(decode, latent)
        tangent, cotangent = jax.make_jaxpr(_call)(push, latent), jax.make_jaxpr(_call)(pull, image)
    except Exception:  # the caller's function may fail in any way, and `check_decoder` says how
        return None
    parts = len(jax.tree.leaves(image))
    return DecoderMemory(
        _live_bytes(forward, varying=1),
        _kept_bytes(residuals),
        _live_bytes(tangent, varying=1),
        _live_bytes(cotangent, varying=parts),
        tree_bytes(image),
        _parameter_bytes(decode, forward),
    )


def _placeholders(
    treedef: PyTreeDef, parameters: Sequence[tuple[tuple[int, ...], Any]], shape: tuple[int, ...], dtype: str, _: str
) -> tuple[Callable, jax.ShapeDtypeStruct]:
    """A function with shapes for its parameters, and its argument's shape."""
    leaves = [jax.ShapeDtypeStruct(*parameter) for parameter in parameters]
    return jax.tree.unflatten(treedef, leaves), jax.ShapeDtypeStruct(shape, dtype)


def _parameter_bytes(function: Callable, traced: ClosedJaxpr) -> int:
    """Of what a function carries, and of what it closes over."""
    return tree_bytes((function, traced.consts))


def _call(function: Callable, argument: Any) -> Any:
    return function(argument)


def _linearise(decode: Callable, latent: Any) -> Any:
    return jax.linearize(decode, latent)


def _transpose(decode: Callable, latent: Any) -> Any:
    return jax.vjp(decode, latent)[1]


class _Equation(NamedTuple):
    """An equation of a jaxpr in which inner ones have been put in their place; values are numbers."""

    name: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    scratch: int
    """Bytes that live inside a loop."""


class _Program:
    """The equations of a jaxpr, all on one level."""

    def __init__(self, closed: ClosedJaxpr, varying: int):
        """Of a jaxpr whose last `varying` arguments differ from row to row."""
        self.equations: list[_Equation] = []
        self.sizes: list[int] = []
        """Bytes of every value; 0 for what all rows share."""
        self.same: dict[int, int] = {}
        """Values that are others in another shape."""
        arguments = [self._value(0) for _ in closed.jaxpr.invars]
        for number, variable in list(zip(arguments, closed.jaxpr.invars, strict=True))[len(arguments) - varying :]:
            self.sizes[number] = _bytes(variable.aval)
        self.outputs = self._append(closed.jaxpr, arguments)

    def _value(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _append(self, jaxpr: Jaxpr, arguments: Sequence[int]) -> list[int]:
        """Appends the equations of a jaxpr at these arguments, and returns its results."""
        known: dict[Any, int] = dict(zip(jaxpr.invars, arguments, strict=True))
        known |= {variable: self._value(0) for variable in jaxpr.constvars}

        def number(atom: Any) -> int:
            return self._value(0) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            takes, inner = [number(atom) for atom in equation.invars], list(_inner(equation.params))
            if equation.primitive.name not in _LOOPS and len(inner) == 1 and len(inner[0].invars) == len(takes):
                gives = self._append(inner[0], takes)
            else:
                varies = any(self.sizes[value] for value in takes)
                gives = [self._value(_bytes(variable.aval) if varies else 0) for variable in equation.outvars]
                scratch = max((_live_bytes(_closed(each), varying=len(each.invars)) for each in inner), default=0)
                self.equations.append(_Equation(equation.primitive.name, tuple(takes), tuple(gives), scratch * varies))
            known.update(zip(equation.outvars, gives, strict=True))
        return [number(atom) for atom in jaxpr.outvars]


def _inner(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The jaxprs inside an equation."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, Jaxpr):
                yield each


def _closed(jaxpr: Jaxpr) -> ClosedJaxpr:
    return ClosedJaxpr(jaxpr, [None] * len(jaxpr.constvars))


def _bytes(array: Any) -> int:
    """Of an array with such a shape; 0 of what is no array."""
    size = getattr(array.dtype, "itemsize", 0) if hasattr(array, "dtype") else 0
    return math.prod(getattr(array, "shape", ())) * size


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    return sum(map(_bytes, jax.tree.leaves(tree)))


def _kept_bytes(closed: ClosedJaxpr) -> int:
    """Bytes of the results that depend on the last argument."""
    program = _Program(closed, varying=1)
    sizes = dict(zip(program.outputs, map(_kept_size, closed.jaxpr.outvars), strict=True))
    return sum(size for value, size in sizes.items() if program.sizes[value])


def _kept_size(variable: Any) -> int:
    """Bytes of a residual: for the result of a comparison XLA often keeps the number that was compared."""
    return _bytes(variable.aval) * (4 if variable.aval.dtype == bool else 1)


def _live_bytes(closed: ClosedJaxpr, varying: int) -> int:
    """The most bytes of values that depend on the last `varying` arguments that live at once."""
    program = _Program(closed, varying)
    return _peak(program)


def _peak(program: _Program) -> int:
    """The most bytes that live at once."""
    sizes, equations = list(program.sizes), program.equations
    users: dict[int, set[str]] = {}
    for equation in equations:
        for value in equation.takes:
            users.setdefault(value, set()).add(equation.name)
    place = list(range(len(sizes)))  # values that share memory have the same place
    for equation in equations:
        fused = equation.name == "broadcast_in_dim" and not any(map(_writes, users.get(equation.gives[0], ())))
        if equation.name in _SAME_VALUES or fused:
            place[equation.gives[0]] = place[equation.takes[0]]
            sizes[equation.gives[0]] = 0
    kept = {place[value] for value in program.outputs}
    last = {place[value]: i for i, equation in enumerate(equations) for value in (*equation.takes, *equation.gives)}
    born = {value for equation in equations for value in equation.gives}
    live = peak = sum(size for value, size in enumerate(sizes) if value not in born)
    for i, equation in enumerate(equations):
        dying = {place[value] for value in equation.takes if last[place[value]] == i} - kept
        made, freed = sum(sizes[value] for value in equation.gives), sum(sizes[value] for value in dying)
        over = 0 if _writes(equation.name) or equation.scratch else min(made, freed)
        live += made
        peak = max(peak, live - over + equation.scratch)
        live -= freed + sum(sizes[value] for value in equation.gives if last.get(value) == i and value not in kept)
    return peak


def _writes(name: str) -> bool:
    return name.startswith(_WRITERS) or name in _LOOPS
