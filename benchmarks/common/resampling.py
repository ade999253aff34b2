"""Rows of results for statistics that are no means: medians, percentiles, correlations, with their bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from benchmarks.common.rows import Row

RESAMPLES = 500


def estimated(fields: Row, score: str, statistic: Callable[..., float], *columns: np.ndarray) -> Row:
    """One row: a statistic of n cases and its 95% percentile bootstrap interval (Efron 1979), the cases drawn together.

    Args:
        fields: What identifies the row.
        score: What was measured.
        statistic: Takes columns (n, ...) to one number.
        columns: Arrays (n, ...).
    """
    rng = np.random.default_rng(0)
    n = len(columns[0])
    draws = [rng.integers(n, size=n) for _ in range(RESAMPLES)]
    low, high = np.quantile([statistic(*(column[rows] for column in columns)) for rows in draws], (0.025, 0.975))
    return {
        **fields,
        "score": score,
        "value": float(statistic(*columns)),
        "low": float(low),
        "high": float(high),
        "n": n,
    }


def percentile(q: float) -> Callable[[np.ndarray], float]:
    """The statistic that is the q-th percentile."""
    return lambda values: float(np.percentile(values, q))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def separation(indicator: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a bad case has a larger indicator than a good one (area under the ROC curve); 0.5 if all are alike."""
    count = int(bad.sum())
    if count in (0, len(bad)):
        return 0.5
    return float((rankdata(indicator)[bad].sum() - count * (count + 1) / 2) / (count * (len(bad) - count)))
