"""Copies of PyTorch functions without weights, and the weights: nothing of the caller's changes, and no later change is seen."""

import contextlib
import copy
import functools
import inspect
import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax

from geovq.decoder.checks import describe
from geovq.decoder.pytorch.environment import to_array, to_constant
from geovq.validation import InputError

State = dict[str, jax.Array]
"""Weights by their names."""


class Frozen(NamedTuple):
    """PyTorch functions that share modules, without their weights; and the weights."""

    holder: Any
    """A torch module that holds the copied modules, and calls what it is given."""
    functions: tuple[Callable, ...]
    """Each takes one tensor."""
    state: State
    """Names are those in `holder`."""
    own: tuple[tuple[str, ...], ...]
    """Names of the weights in the modules that each function refers to."""
    structure: Hashable
    """Equal for modules that differ in nothing but their weights."""


def freeze(*functions: Callable) -> Frozen:
    """Copies PyTorch functions and takes the weights out of the copies.

    Args:
        functions: Modules, their methods, or functions that refer to modules and tensors by their own variables.

    Returns:
        The copies and the weights.

    Raises:
        InputError: A module that cannot be copied.
    """
    copier = _Copier()
    try:
        copies, modules = zip(*map(copier.copy, functions), strict=True)
    except Exception as error:  # modules of any library
        raise InputError(
            f"from_torch: expected modules that can be copied, found {describe(error)}; remove what cannot be, or pass a "
            "module that contains only the layers."
        ) from error
    holder = _hold(copier.modules)
    names = {id(meta): name for name, meta in reversed(list(_tensors(holder)))}  # the first name of shared weights
    state = {names[id(meta)]: to_array(copier.originals.get(id(meta), meta)) for _, meta in _tensors(holder)}
    aliases = tuple((name, names[id(meta)]) for name, meta in _tensors(holder))
    holder.aliases = dict(aliases)
    try:
        calls: Hashable = tuple(_structure(function) for function in copies)
    except RecursionError:  # a module that refers to its parent
        calls = _Itself(copies)
    own = tuple(tuple(names[id(meta)] for module in used for _, meta in _tensors(module)) for used in modules)
    return Frozen(holder, copies, state, own, (aliases, calls))


def _hold(modules: list) -> Any:
    import torch

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.nn.ModuleList(modules)
            self.aliases: dict[str, str] = {}

        def forward(self, function: Callable, x: Any) -> Any:
            return function(x)

    return Holder().eval()  # and all modules in it


def _tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """All names of all tensors: parameters, buffers, and plain attributes, which PyTorch does not list."""
    import torch

    for prefix, child in module.named_modules(remove_duplicate=False):
        for values in (child._parameters, child._buffers, vars(child)):
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    yield f"{prefix}.{name}", value


class _Copier:
    """Copies functions with the modules in them. Tensors of modules become tensors without values."""

    def __init__(self) -> None:
        self.modules: list[Any] = []
        self.originals: dict[int, Any] = {}  # by the id of the tensor without values
        self._memo: dict[int, Any] = {}
        self._used: list[Any] = []
        self._made: dict[int, Any] = {}  # functions and objects
        self._kept: list[Any] = []  # ids stay those of living objects

    def copy(self, function: Callable) -> tuple[Callable, list[Any]]:
        """The copy of a function, and the copied modules that it refers to."""
        self._used, self._made = [], {}
        return self(function), self._used

    def __call__(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.nn.Module):
            return self._module(value)
        if isinstance(value, torch.Tensor):
            return to_constant(value)
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self(value.__self__))
        if isinstance(value, functools.partial):
            return functools.partial(
                self(value.func), *map(self, value.args), **{name: self(item) for name, item in value.keywords.items()}
            )
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if type(value) in (list, tuple):
            return type(value)(map(self, value))
        if type(value) is dict:
            return {key: self(item) for key, item in value.items()}
        if any(isinstance(item, torch.nn.Module) for item in getattr(value, "__dict__", {}).values()):
            return self._object(value)
        return value

    def _object(self, value: Any) -> Any:
        """An object whose attributes are modules."""
        if id(value) not in self._made and not isinstance(value, type | types.ModuleType):
            made = copy.copy(value)
            self._kept.append(value)
            self._made[id(value)] = made
            vars(made).update({name: self(item) for name, item in vars(value).items()})
        return self._made.get(id(value), value)

    def _module(self, module: Any) -> Any:
        import torch

        module = getattr(module, "_orig_mod", module)  # of torch.compile
        if id(module) not in self._memo:
            for _, tensor in _tensors(module):
                if id(tensor) not in self._memo:
                    meta = torch.empty_like(tensor, device="meta", requires_grad=False)
                    if isinstance(tensor, torch.nn.Parameter):
                        meta = torch.nn.Parameter(meta, requires_grad=False)
                    self._memo[id(tensor)], self.originals[id(meta)] = meta, tensor
            self._kept.append(module)
            self.modules.append(copy.deepcopy(module, self._memo))
        self._used.append(self._memo[id(module)])
        return self._memo[id(module)]

    def _function(self, function: types.FunctionType) -> Any:
        """The function with copies of what its own variables hold."""
        import torch

        if id(function) in self._made:
            return self._made[id(function)]
        self._kept.append(function)
        found = inspect.getclosurevars(function)
        held = {
            name: self(value)
            for name, value in found.globals.items()
            if isinstance(value, torch.nn.Module | torch.Tensor | types.MethodType | functools.partial)
        }
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(
            function.__code__,
            {**function.__globals__, **held} if held else function.__globals__,
            function.__name__,
            self(function.__defaults__),
            cells,
        )
        made.__kwdefaults__ = self(function.__kwdefaults__)
        self._made[id(function)] = made
        for mine, theirs in zip(cells, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                mine.cell_contents = self(theirs.cell_contents)
        return made


def _structure(value: Any) -> Hashable:
    """What compiled code depends on. Objects of unknown kinds are equal to themselves alone."""
    import torch

    if isinstance(value, torch.nn.Module):
        return type(value), _structure(vars(value))
    if isinstance(value, torch.Tensor) and value.device.type == "meta":
        return tuple(value.shape), value.dtype
    if isinstance(value, types.MethodType):
        return value.__func__, _structure(value.__self__)
    if isinstance(value, dict):
        return type(value), tuple((_structure(key), _structure(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_structure, value))
    if isinstance(value, set):
        return type(value), frozenset(map(_structure, value))
    if value is None or isinstance(value, bool | int | float | str | type | torch.dtype | torch.device):
        return type(value), value
    return _Itself(value)


class _Itself:
    """Equal to another of the same object alone, which it keeps alive."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
