"""PyTorch's operations as JAX's, by torchax: which versions work, and the state in which PyTorch runs on JAX's arrays."""

import contextlib
import functools
import importlib.metadata
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geovq.decoder.checks import describe
from geovq.validation import InputError

TORCH, TORCHAX = ("2.11", "2.12"), "0.0.13"
"""The versions that work together: torchax 0.0.13 cannot be imported beside torch 2.13."""


def check_torch() -> None:
    """Checks that PyTorch and torchax are there, in versions that work together.

    Raises:
        InputError: One is missing, or has another version.
    """
    found = {name: _version(name) for name in ("torch", "torchax")}
    works = f"torch {' or '.join(TORCH)} and torchax {TORCHAX}"
    listed = " and ".join(f"{name} {version}" if version else f"no {name}" for name, version in found.items())
    torch_version, torchax_version = found["torch"], found["torchax"]
    if (
        not torch_version
        or not torchax_version
        or _numbers(torch_version, 2) not in TORCH
        or torchax_version != TORCHAX
    ):
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


@functools.cache
def environment() -> Any:
    """An environment of our own: the options and random numbers of torchax's default one stay as they are."""
    import torch
    import torchax.tensor

    made = torchax.tensor.Environment()
    nearest = torch.ops.aten.upsample_nearest2d.vec
    general = made._get_op_or_decomp(nearest).func

    def upsample(images: Any, size: Any, factors: Any) -> Any:
        """By whole factors without an index for each pixel, whose derivative would add up pixel by pixel."""
        n, c, h, w = images.shape
        rows, columns = (h * factors[0], w * factors[1]) if size is None else size
        if rows % h or columns % w:
            return general(images, size, factors)
        down, across = int(rows // h), int(columns // w)
        return images[:, :, :, None, :, None].expand(n, c, h, down, w, across).reshape(n, c, h * down, w * across)

    made.override_op_definition(nearest, upsample)
    return made


@contextlib.contextmanager
def torch_as_jax() -> Iterator[Any]:
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
            environment() as entered,
            torch.device("jax"),
            entered.override_property(prng=jax.random.key(0)),
        ):
            warnings.filterwarnings("ignore", "Explicitly requested dtype")
            yield entered
    finally:
        distribution.set_default_validate_args(validates)


def to_jax(found: Any) -> Any:
    """PyTorch's tensors in tuples, lists and dicts as JAX's arrays; anything else as it is."""
    import torch

    if isinstance(found, torch.Tensor):
        return environment().t2j_iso(found) if hasattr(found, "jax") else np.asarray(found.detach())
    if type(found) is dict:
        return {key: to_jax(value) for key, value in found.items()}
    return type(found)(map(to_jax, found)) if type(found) in (tuple, list) else found


def to_array(tensor: Any) -> jax.Array:
    """A copy: PyTorch goes on to write into its own."""
    import torch

    values = tensor.detach().cpu()
    if values.dtype == torch.bfloat16:  # NumPy has none
        return jnp.array(values.float().numpy()).astype(jnp.bfloat16)
    values = values.numpy()
    return jnp.array(values.astype(jax.dtypes.canonicalize_dtype(values.dtype)), copy=True)


def to_constant(tensor: Any) -> Any:
    """A tensor that a function refers to, as torchax has it: compiled in, as constants of JAX functions are."""
    import torchax.tensor

    return torchax.tensor.Tensor(to_array(tensor), environment())
