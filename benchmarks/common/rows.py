"""Rows of results, one number each: how they are built, chosen, and averaged over seeds.

A row is flat: the fields that identify the number, then `score`, `value`, `low`, `high` (ends of an interval, or None) and `n`
(what was measured: images, rounds, edges). Every benchmark builds its rows here. Programs import this before they parse, so JAX
and SciPy are imported late.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from geovq.validation import InputError

Row = dict[str, Any]

Table = tuple[list[str], list[list[object]]]
"""Heads, and cells of each line."""

RESAMPLES = 500

PLAIN: Row = {"guidance": 1.0, "rises": False}
"""Fields of samples without guidance."""


def row(
    fields: Row, score: str, value: float, n: int | None = None, low: float | None = None, high: float | None = None
) -> Row:
    """A row of results.

    Args:
        fields: They identify the number.
        score: What was measured.
        value: The number.
        n: How many cases it was measured on.
        low: Lower end of its interval; None for a number without one.
        high: Upper end.
    """
    ends = [None if end is None else float(end) for end in (low, high)]
    return {**fields, "score": score, "value": float(value), "low": ends[0], "high": ends[1], "n": n}


def mean_row(fields: Row, score: str, values: np.ndarray) -> Row:
    """The mean of one value per image (n,), with its 95% bootstrap interval over the images."""
    from geovq.scores.intervals import bootstrap_interval

    mean, low, high = bootstrap_interval(np.asarray(values, np.float64))
    return row(fields, score, mean, len(values), low, high)


def statistic_row(fields: Row, score: str, statistic: Callable[..., float], *columns: np.ndarray) -> Row:
    """A statistic of n cases and its 95% percentile bootstrap interval (Efron 1979); the cases are drawn together.

    Args:
        fields: They identify the row.
        score: What was measured.
        statistic: Takes columns (n, ...) to one number.
        columns: Arrays (n, ...).
    """
    rng, n = np.random.default_rng(0), len(columns[0])
    draws = [rng.integers(n, size=n) for _ in range(RESAMPLES)]
    ends = np.quantile([statistic(*(column[drawn] for column in columns)) for drawn in draws], (0.025, 0.975))
    return row(fields, score, statistic(*columns), n, *ends)


def spread_row(fields: Row, score: str, values: Sequence[float]) -> Row:
    """The median of repeated measurements; the interval is the least and the greatest."""
    return row(fields, score, statistics.median(values), len(values), min(values), max(values))


def ratio_row(fields: Row, values: Sequence[float], ours: Sequence[float], score: str = "ratio") -> Row:
    """The median over the rounds of values / ours, round by round."""
    return spread_row(fields, score, [a / b for a, b in zip(values, ours, strict=True)])


def percentile(q: float) -> Callable[[np.ndarray], float]:
    """The statistic that is the q-th percentile."""
    return lambda values: float(np.percentile(values, q))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def separation(indicator: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a bad case has a larger indicator than a good one (area under the ROC curve); 0.5 if all are alike."""
    from scipy.stats import rankdata

    count = int(bad.sum())
    if count in (0, len(bad)):
        return 0.5
    return float((rankdata(indicator)[bad].sum() - count * (count + 1) / 2) / (count * (len(bad) - count)))


def select(rows: Sequence[Row], **wanted: object) -> list[Row]:
    """The rows with these fields; None stands for a missing field."""
    found = list(rows)
    for name, value in wanted.items():  # one field after the other: most rows go with the first
        found = [row for row in found if row.get(name) == value]
    return found


def row_of(rows: Sequence[Row], **wanted: object) -> Row:
    """The row with these fields.

    Raises:
        InputError: None, or several.
    """
    found = select(rows, **wanted)
    if len(found) != 1:
        raise InputError(f"results: expected one row with {wanted}, found {len(found)}; run the benchmark again.")
    return found[0]


def value_of(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields; errors as `row_of`."""
    return row_of(rows, **wanted)["value"]


def maybe(rows: Sequence[Row], **wanted: object) -> float | None:
    """The value of the row with these fields, or None where there is no such row.

    Raises:
        InputError: Several.
    """
    return value_of(rows, **wanted) if select(rows, **wanted) else None


def names_of(rows: Sequence[Row], field: str) -> list[str]:
    """The different values of a field, in order."""
    return list(dict.fromkeys(r[field] for r in rows if field in r))


def seeds_of(rows: Sequence[Row], **wanted: object) -> int:
    """How many seeds the rows with these fields have."""
    return len({r["seed"] for r in select(rows, **wanted)})


class Mean(NamedTuple):
    """A score over seeds."""

    value: float
    low: float
    """Lower end of its 95% interval: over images and, where there are several, over seeds."""
    high: float
    spread: float | None
    """Standard deviation over seeds; None for one seed."""
    seeds: int
    """Of Transformers or of all networks; 0 for a score that depends on none."""

    def __str__(self) -> str:
        """As tables show it."""
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


def interval_of(rows: Sequence[Row], **wanted: object) -> Mean | None:
    """Mean over seeds of the rows with these fields; None where there is none.

    Rows of a seed count as one: systems that share a Transformer all have its likelihood. The interval of one seed is over images
    alone. The half-widths of several are √(a² + b²): a is the half-width of the interval over images, which more seeds do not
    narrow, since all are compared with the same images; b is the half-width of the t interval of the mean over seeds. Where seeds
    are Transformers over the same tokens, the interval does not cover other tokenizers.
    """
    found = select(rows, **wanted)
    if not found:
        return None
    ends = ("value", "low", "high")
    of_seed: dict[object, list[list[float]]] = {}
    for one in found:
        of_seed.setdefault(one.get("seed"), []).append([np.nan if one[end] is None else one[end] for end in ends])
    means = np.array([np.mean(values, axis=0) for values in of_seed.values()])
    value, low, high = (float(end) for end in means.mean(axis=0))
    spread = None
    if (seeds := len(means)) > 1:
        spread = float(np.std(means[:, 0], ddof=1))
        half = _half_width(spread, seeds)
        low, high = value - float(np.hypot(value - low, half)), value + float(np.hypot(high - value, half))
    return Mean(value, low, high, spread, seeds_of([r for r in found if "seed" in r]))


def difference_of(rows: Sequence[Row], one: Row, other: Row) -> Mean | None:
    """Mean over seeds of the rows with the fields `one`, minus the rows with the fields `other`, seed by seed.

    The interval is the t interval over the seeds that both have; None where these are fewer than two.
    """
    values = [{r["seed"]: r["value"] for r in select(rows, **fields) if "seed" in r} for fields in (one, other)]
    differences = [values[0][seed] - values[1][seed] for seed in values[0] if seed in values[1]]
    if len(differences) < 2:
        return None
    value, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    half = _half_width(spread, len(differences))
    return Mean(value, value - half, value + half, spread, len(differences))


def _half_width(spread: float, seeds: int) -> float:
    """Half of the 95% t interval of a mean over seeds with this standard deviation."""
    from scipy.special import stdtrit

    return float(stdtrit(seeds - 1, 0.975)) * spread / seeds**0.5


def mean_of(rows: Sequence[Row], **wanted: object) -> float | None:
    """The value of `interval_of`, or None."""
    found = interval_of(rows, **wanted)
    return None if found is None else found.value


def nats_of(rows: Sequence[Row], model: str, **wanted: object) -> float | None:
    """Nats of a test token under a model, mean over seeds; None where it was not measured."""
    return mean_of(rows, case="likelihood", model=model, score="nats_per_token", position=None, **wanted)


def judged_by(rows: Sequence[Row]) -> str:
    """A sentence on the classifier in whose features sets of images were compared; empty where none were."""
    accuracy = next((r["classifier_accuracy"] for r in rows if "classifier_accuracy" in r), None)
    return "" if accuracy is None else f"The classifier is right on {accuracy:.2%} of the test images."


def weight_name(weight: float, rises: bool) -> str:
    """The name of guidance in tables and files."""
    return f"1 to {weight:g}" if rises else f"{weight:g}"
