"""Checks of input at the public door. Every message says what was expected, what was found and what to do."""

import contextlib
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

_END = 800
"""Characters that stay at each end of a long message."""


LARGEST_SIZE = 1 << 16
"""Pixels of an image's side, or channels, at most."""

LARGEST_NUMBER = 1e15
"""Of latents and codes: squares of their differences, summed over channels and weighed by metrics, stay numbers of float32."""


class InputError(ValueError):
    """Input that the caller can correct: the message says what was expected, what was found and what to do."""

    def __init__(self, message: str = ""):
        """Cuts out the middle of a message that shows something endless, such as a name of a million letters in a file."""
        super().__init__(message if len(message) <= 2 * _END else f"{message[:_END]} … {message[-_END:]}")


@contextlib.contextmanager
def refusing(name: str, expected: str, remedy: str) -> Iterator[None]:
    """Whatever goes wrong in the block is one InputError: a parser of a stranger's bytes may fail in any way.

    Args:
        name: What the message begins with, such as the path.
        expected: What the bytes should have been.
        remedy: What to do where they are something else.

    Raises:
        InputError: The block's own, or one that has the kind of its error and the first line of what that says.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")[:200]
        found = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise InputError(f"{name}: expected {expected}, found one that cannot be read ({found}); {remedy}.") from error


def check_whole(name: str, value: object, least: int = 1, most: int | None = None, remedy: str = "change it") -> None:
    """Checks that a value is a whole number in a range.

    Args:
        name: What the message calls it.
        value: An integer of Python or NumPy passes; a bool does not.
        least: The least that passes.
        most: The most that passes; None for no limit.
        remedy: What the message tells the caller to do.

    Raises:
        InputError: With the name, the range, the value and the remedy.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= (math.inf if most is None else most):  # type: ignore[operator]  # a number
        wanted = f"of at least {least}" if most is None else f"in {least}..{most}"
        raise InputError(f"{name}: expected a whole number {wanted}, found {shown(value)}; {remedy}.")


def check_number(
    name: str, value: object, expected: str, holds: Callable[[float], bool], remedy: str = "change it"
) -> None:
    """Checks that a value is a real number, and one of those that are wanted.

    Args:
        name: What the message calls it.
        value: A number of Python or NumPy; a bool does not pass.
        expected: Which numbers, for the message.
        holds: Whether it is one of them; NaN and infinities are asked about, too.
        remedy: What the message tells the caller to do.

    Raises:
        InputError: Something else.
    """
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a whole number beyond all floats
            number = float(value)
    if not holds(number):
        raise InputError(f"{name}: expected {expected}, found {shown(value)}; {remedy}.")


def check_seed(seed: object, name: str = "seed") -> None:
    """Checks that a value is a seed: a whole number of 32 bits, which NumPy, JAX and scikit-learn take.

    Raises:
        InputError: With the value.
    """
    check_whole(name, seed, 0, (1 << 32) - 1, "choose another")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuses what is none of the choices.

    Raises:
        InputError: With all of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}: expected one of {', '.join(choices)}, found {shown(value)}; choose one of them.")


def shown(value: object) -> str:
    """A value as messages show it."""
    try:
        return repr(value)
    except Exception as error:  # a number of more digits than Python prints, or the caller's own object
        return f"{type(value).__name__} ({error})"


def as_sizes(name: str, sizes: object) -> tuple[int, int, int]:
    """Three sizes of an array, such as (H, W, C).

    Raises:
        InputError: Something else than three whole numbers from 1 to `LARGEST_SIZE`.
    """
    if not isinstance(sizes, list | tuple | np.ndarray) or np.shape(np.asarray(sizes, object)) != (3,):
        raise InputError(f"{name}: expected three whole numbers such as (H, W, C), found {shown(sizes)}; pass three.")
    for size in sizes:
        check_whole(name, size, most=LARGEST_SIZE)
    height, width, channels = (int(size) for size in sizes)
    return height, width, channels


def check_squares(name: str, values: np.ndarray) -> None:
    """Checks that numbers are finite, and their squared distances too in float32.

    Raises:
        InputError: NaN, infinity, or a number beyond `LARGEST_NUMBER`.
    """
    check_finite(name, values)
    if values.size and (largest := float(np.abs(values).max())) > LARGEST_NUMBER:
        raise InputError(f"{name}: expected numbers of at most {LARGEST_NUMBER:g}, found {largest:g}; scale them.")


def check_finite(name: str, values: np.ndarray) -> None:
    """Checks that no value is NaN or infinite.

    Args:
        name: What the message calls the values.
        values: Array of any shape.

    Raises:
        InputError: With the count of non-finite entries and the index of the first.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(values)):  # one pass: NaN and infinity never add up to something finite
            return
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name}: expected finite values, found {int(bad.sum())} NaN or infinite entries, the first at {first}; "
            "remove them or correct what made them."
        )


_ROUNDING = 2.0**-10
"""How far outside [0, 1] rounding may put an intensity: the spacing of float16 above 1, a quarter of a byte's step."""

_ROUNDING_BFLOAT16 = 2.0**-7
"""The spacing of bfloat16 above 1."""


def is_floating(dtype: np.dtype) -> bool:
    """Whether a dtype is of floats: NumPy's own, or bfloat16 and the other ones of JAX."""
    return np.issubdtype(dtype, np.floating) or (dtype.isbuiltin == 2 and "float" in dtype.name)


def as_array(name: str, values: object) -> np.ndarray:
    """Values as one array.

    Raises:
        InputError: A list of arrays of different shapes, or a tensor that NumPy cannot read.
    """
    try:
        return np.asarray(values)
    except RuntimeError as error:  # PyTorch's, for a tensor that has a gradient or is on a device
        raise InputError(
            f"{name}: expected an array, found {type(values).__name__}, which says: {str(error).splitlines()[0]}; pass "
            "tensor.detach().cpu().numpy()."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{name}: expected one array, or a list of arrays of one shape, found {str(error).splitlines()[0]}; bring them to "
            "one shape."
        ) from error


def is_list_of_arrays(values: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether values are a list or tuple of arrays, each by itself; nested lists of numbers are one array."""
    nested = list | tuple | numbers.Number
    return isinstance(values, list | tuple) and len(values) > 0 and not any(isinstance(each, nested) for each in values)


def check_length(name: str, values: Any, n: int) -> None:
    """Refuses a list that has not one item for each of n others.

    Raises:
        InputError: With both numbers.
    """
    found = len(values) if hasattr(values, "__len__") else type(values).__name__
    if found != n:
        raise InputError(
            f"{name}: expected a list of {n}, one for each image, found {found}; pass them in the same order."
        )


def check_images(images: np.ndarray, shape: tuple[int, ...] | None = None, name: str = "images") -> np.ndarray:
    """Images as float32 intensities in [0, 1].

    Args:
        images: Array (n, H, W, C): uint8 in 0..255, or floats in [0, 1]. What rounding puts outside is clipped: up to 2⁻¹⁰, the
            epsilon of float16, or 2⁻⁷, that of bfloat16, for images in bfloat16.
        shape: The (H, W, C) that is required, or None for any.
        name: What the message calls them.

    Returns:
        float32 (n, H, W, C) in [0, 1]; uint8 is divided by 255.

    Raises:
        InputError: Another shape, an empty set, another dtype, NaN, or floats farther outside [0, 1] than rounding puts them.
    """
    return as_intensities(check_pixels(images, shape, name))


def as_intensities(pixels: np.ndarray) -> np.ndarray:
    """Bytes as float32 in [0, 1]; floats stay as they are."""
    return pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels


def check_pixels(images: np.ndarray, shape: tuple[int, ...] | None = None, name: str = "images") -> np.ndarray:
    """`check_images` that leaves bytes as they are, so that a large set can be converted a few at a time by `as_intensities`."""
    images = as_array(name, images)
    wanted = "(n, H, W, C)" if shape is None else f"(n, {', '.join(map(str, shape))})"
    if images.ndim != 4 or (shape is not None and images.shape[1:] != tuple(shape)):
        raise InputError(f"{name}: expected shape {wanted}, found {images.shape}; reshape, resize or convert them.")
    if len(images) == 0:
        raise InputError(f"{name}: expected at least one image, found shape {images.shape}.")
    if images.dtype == np.uint8:
        return images
    if not is_floating(images.dtype):
        raise InputError(
            f"{name}: expected uint8 in 0..255 or floats in [0, 1], found {images.dtype}; convert them: divide 16-bit images by "
            "65535, and pass bytes as uint8."
        )
    rounding = _ROUNDING_BFLOAT16 if images.dtype.name == "bfloat16" else _ROUNDING
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    low, high = float(images.min()), float(images.max())
    if not np.isfinite((low, high)).all():
        check_finite(name, images)
    if low < -rounding or high > 1 + rounding:
        raise InputError(
            f"{name}: expected floats in [0, 1], found values in [{low:g}, {high:g}]; "
            "divide bytes by 255 or pass them as uint8, map [-1, 1] by (x + 1) / 2, and clip what resizing put outside."
        )
    return images if low >= 0 and high <= 1 else np.clip(images, 0, 1)


def check_points(name: str, points: np.ndarray) -> np.ndarray:
    """Points as a finite, non-empty float array.

    Args:
        name: What the message calls them.
        points: Array (n, d).

    Returns:
        The same points as float32 or float64, (n, d).

    Raises:
        InputError: Another rank, an empty set, something else than real numbers, NaN or infinity.
    """
    points = as_array(name, points)
    if points.ndim != 2 or points.size == 0:
        raise InputError(f"{name}: expected a non-empty array of shape (n, d), found shape {points.shape}; reshape it.")
    return check_real(name, points)


def check_real(name: str, values: np.ndarray) -> np.ndarray:
    """Finite real numbers as float32 or float64.

    Raises:
        InputError: Something else than real numbers, NaN or infinity.
    """
    if values.dtype.kind not in "biu" and not is_floating(values.dtype):
        raise InputError(f"{name}: expected real numbers, found {values.dtype}; convert them to floats.")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    check_finite(name, values)
    return values


def check_tokens(tokens: np.ndarray, num_codes: int, name: str = "tokens") -> np.ndarray:
    """Tokens as int32 in 0..K-1.

    Args:
        tokens: Integer array of any shape, the first axis counting images.
        num_codes: Number of codes K.
        name: What the message calls them.

    Returns:
        int32 array of the same shape.

    Raises:
        InputError: A dtype that is not integer, or tokens outside 0..K-1, with their count and the first position.
    """
    tokens = as_array(name, tokens)
    if not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(
            f"{name}: expected integers in 0..{num_codes - 1}, found {tokens.dtype}; pass what encode returned."
        )
    bad = (tokens < 0) | (tokens >= num_codes)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        images = int(bad.reshape(len(tokens), -1).any(axis=1).sum())
        raise InputError(
            f"{name}: expected integers in 0..{num_codes - 1}, found {int(bad.sum())} outside, in {images} images, the first "
            f"at {first} with value {int(tokens[first])}; drop those images or assign them again."
        )
    return tokens.astype(np.int32)
