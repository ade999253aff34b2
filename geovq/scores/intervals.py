"""Bootstrap intervals of scores."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from geovq.validation import InputError, as_array, check_number, check_real, check_seed, check_whole

_MOST_RESAMPLES = 1_000_000

_DRAWS = 1_000_000
"""Values that are drawn at once."""


class Interval(NamedTuple):
    """A mean, or another statistic, with the bounds of its interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Float[np.ndarray, " n"], n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of a mean over images.

    Args:
        values: One score per image, (n,).
        n_resamples: Times that n values are drawn again with replacement, at least 1.
        seed: Of the draws: the same seed gives the same interval.
        level: Probability that the interval is to cover, in (0, 1).

    Returns:
        The mean of `values`, and the (1 - level)/2 and (1 + level)/2 quantiles of the resampled means.

    Raises:
        InputError: Not one axis, no values, NaN or infinity, or options out of their range.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    values = as_array("values", values)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"values: expected a non-empty array of shape (n,), found {values.shape}; reshape it.")
    values = check_real("values", values).astype(np.float64)
    check_resampling(n_resamples, level, seed)
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWS // values.size)
    sizes = [min(block, n_resamples - start) for start in range(0, n_resamples, block)]
    means = [values[rng.integers(values.size, size=(size, values.size))].mean(axis=1) for size in sizes]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return holding(float(values.mean()), float(low), float(high))


def holding(mean: float, low: float, high: float) -> Interval:
    """An interval that holds its mean, which rounding and few resamples put outside."""
    return Interval(mean, min(low, mean), max(high, mean))


def check_resampling(n_resamples: int, level: float, seed: int) -> None:
    """Checks the options of a bootstrap.

    Raises:
        InputError: Fewer than one resample, a level outside (0, 1), or no seed.
    """
    check_whole("n_resamples", n_resamples, most=_MOST_RESAMPLES)
    check_seed(seed)
    check_number("level", level, "a number in (0, 1)", lambda value: 0 < value < 1, "0.95 is usual")
