"""PyTorch functions as JAX functions of their parameters and one batch, by torchax: weights become JAX arrays, operations JAX's.

A function is copied with the modules in it, in eval mode and without weights, so that nothing of the caller's changes, and no
later change of it is seen.
"""

import contextlib
import copy
import functools
import importlib.metadata
import inspect
import threading
import types
import warnings
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from geovq.decoder.adapters import AnyArray
from geovq.decoder.checks import describe
from geovq.validation import InputError

TORCH, TORCHAX = "2.12", "0.0.13"
"""The versions that work together, and that the tests run: torchax 0.0.13 cannot be imported beside torch 2.13."""

Take = Callable[[Any], Any]
"""Takes what a PyTorch function returned to its part that is wanted."""


def check_torch() -> None:
    """Checks that PyTorch and torchax are there, in versions that work together.

    Raises:
        InputError: One is missing, or has another version.
    """
    found = {name: _version(name) for name in ("torch", "torchax")}
    works = f"torch {TORCH} and torchax {TORCHAX}"
    listed = " and ".join(f"{name} {version}" if version else f"no {name}" for name, version in found.items())
    torch_version, torchax_version = found["torch"], found["torchax"]
    if not torch_version or not torchax_version or _numbers(torch_version, 2) != TORCH or torchax_version != TORCHAX:
        raise InputError(f"from_torch: expected {works}, found {listed}; pip install 'geovq[torch]'.")
    try:
        import torchax  # noqa: F401
    except Exception as error:  # it registers operators, some of which another build may lack
        raise InputError(
            f"from_torch: expected {works} that can be imported, found {listed}, which fail with {describe(error)}; "
            "pip install 'geovq[torch]' in a new environment."
        ) from error


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str, count: int) -> str:
    return ".".join(version.split("+")[0].split(".")[:count])


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
        copies = tuple(copier(function) for function in functions)
    except Exception as error:  # modules of any library
        raise InputError(
            f"from_torch: expected modules that can be copied, found {describe(error)}; remove what cannot be, or pass a "
            "module that contains only the layers."
        ) from error
    holder = _hold(copier.modules)
    names = {id(meta): name for name, meta in reversed(list(_tensors(holder)))}  # the first name of shared weights
    state = {names[id(meta)]: _array(copier.originals.get(id(meta), meta)) for _, meta in _tensors(holder)}
    aliases = tuple((name, names[id(meta)]) for name, meta in _tensors(holder))
    holder.aliases = dict(aliases)
    try:
        calls: Hashable = tuple(_structure(function) for function in copies)
    except RecursionError:  # a module that refers to its parent
        calls = _Itself(copies)
    return Frozen(holder, copies, state, (aliases, calls))


def _hold(modules: list) -> Any:
    import torch

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.nn.ModuleList(modules)
            self.aliases: dict[str, str] = {}

        def forward(self, function: Callable, x: Any) -> Any:
            return function(x)

    return Holder().eval()


def _tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """All names of all tensors: parameters, buffers, and plain attributes, which PyTorch does not list."""
    import torch

    for prefix, child in module.named_modules(remove_duplicate=False):
        for values in (child._parameters, child._buffers, vars(child)):
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    yield f"{prefix}.{name}", value


def _array(tensor: Any) -> jax.Array:
    """A copy: PyTorch goes on to write into its own."""
    import torch

    values = tensor.detach().cpu()
    if values.dtype == torch.bfloat16:  # NumPy has none
        return jnp.array(values.float().numpy()).astype(jnp.bfloat16)
    values = values.numpy()
    return jnp.array(values.astype(jax.dtypes.canonicalize_dtype(values.dtype)), copy=True)


class _Copier:
    """Copies functions with the modules in them. Tensors of modules become tensors without values."""

    def __init__(self) -> None:
        self.modules: list[Any] = []
        self.originals: dict[int, Any] = {}  # by the id of the tensor without values
        self._memo: dict[int, Any] = {}
        self._kept: list[Any] = []  # ids stay those of living objects

    def __call__(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.nn.Module):
            return self._module(value)
        if isinstance(value, torch.Tensor):
            return _as_constant(value)
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
        if id(value) not in self._memo and not isinstance(value, type | types.ModuleType):
            made = copy.copy(value)
            self._kept.append(value)
            self._memo[id(value)] = made
            vars(made).update({name: self(item) for name, item in vars(value).items()})
        return self._memo.get(id(value), value)

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
            self.modules.append(copy.deepcopy(module, self._memo).eval())
        return self._memo[id(module)]

    def _function(self, function: types.FunctionType) -> Any:
        """The function with copies of what its own variables hold."""
        import torch

        if id(function) in self._memo:
            return self._memo[id(function)]
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
        self._memo[id(function)] = made
        for mine, theirs in zip(cells, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                mine.cell_contents = self(theirs.cell_contents)
        return made


def _as_constant(tensor: Any) -> Any:
    """A tensor that a function refers to, as torchax has it: compiled in, as constants of JAX functions are."""
    import torchax.tensor

    return torchax.tensor.Tensor(_array(tensor), _environment())


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


class TorchFunction:
    """A PyTorch function of one batch, as a function of its weights and the batch that JAX can trace.

    The batch is cast to the type of the first weights, as PyTorch requires, and the result to float32.
    """

    def __init__(self, name: str, frozen: Frozen, index: int, take: Take) -> None:
        """One of the functions of `frozen`, and what is taken of its result; `name` is for messages."""
        self.name, self.holder, self.function, self.take = name, frozen.holder, frozen.functions[index], take
        floats = [leaf.dtype for leaf in frozen.state.values() if jnp.issubdtype(leaf.dtype, jnp.floating)]
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
        with _lock, _torch_as_jax() as environment:
            tensors = environment.j2t_iso({name: jnp.asarray(value) for name, value in state.items()})
            given = {name: tensors[first] for name, first in function.holder.aliases.items() if first in tensors}
            found = _call(function, given, environment.j2t_iso(jnp.asarray(batch, function.dtype)))
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

    environment = _environment()
    key = environment.param.prng
    found = torch.func.functional_call(
        function.holder, tensors, (function.function, batch), tie_weights=False, strict=False
    )
    if environment.param.prng is not key:
        raise InputError(
            f"{function.name}: expected a function without randomness, found that it draws random numbers; return the mean "
            "of the latents instead of a sample, and call dropout with training=self.training."
        )
    return found


_lock = threading.RLock()
"""Weights are put into the copied modules while they are traced, by one thread at a time."""


@functools.cache
def _environment() -> Any:
    """An environment of our own: the options and random numbers of torchax's default one stay as they are."""
    import torchax.tensor

    return torchax.tensor.Environment()


@contextlib.contextmanager
def _torch_as_jax() -> Iterator[Any]:
    """Runs PyTorch's operations as JAX's.

    Broadcasting and promotion are PyTorch's, whatever JAX is configured to refuse. Distributions do not check their parameters,
    which have no values here. int64 becomes int32 without a warning.
    """
    import torch

    distribution: Any = torch.distributions.Distribution
    validates = distribution._validate_args
    distribution.set_default_validate_args(False)
    try:
        with (
            warnings.catch_warnings(),
            jax.numpy_rank_promotion("allow"),
            jax.numpy_dtype_promotion("standard"),
            torch.no_grad(),
            _environment() as environment,
            torch.device("jax"),
            environment.override_property(prng=jax.random.key(0)),
        ):
            warnings.filterwarnings("ignore", "Explicitly requested dtype")
            yield environment
    finally:
        distribution.set_default_validate_args(validates)


def to_jax(found: Any) -> Any:
    """PyTorch's tensors in tuples, lists and dicts as JAX's arrays; anything else as it is."""
    import torch

    if isinstance(found, torch.Tensor):
        return _environment().t2j_iso(found) if hasattr(found, "jax") else np.asarray(found.detach())
    if type(found) is dict:
        return {key: to_jax(value) for key, value in found.items()}
    return type(found)(map(to_jax, found)) if type(found) in (tuple, list) else found
