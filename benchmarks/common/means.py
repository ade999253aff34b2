"""Means over seeds of the rows of generated images and of likelihoods."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common.rows import Row, select

Table = tuple[list[str], list[list[object]]]
"""Heads and rows."""

PLAIN: dict[str, Any] = {"guidance": 1.0, "rises": False}
"""Fields of samples without guidance."""


def weight_name(weight: float, rises: bool) -> str:
    """What tables and files call guidance."""
    return f"1 to {weight:g}" if rises else f"{weight:g}"


class Mean(NamedTuple):
    """A score over seeds."""

    value: float
    low: float
    """Ends of its 95% interval: over images and, if there are several, over seeds."""
    high: float
    spread: float | None
    """Standard deviation over seeds; None for one seed."""
    seeds: int
    """Of Transformers or of all networks; 0 for what depends on none."""

    def __str__(self) -> str:
        """As tables show it."""
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


def interval_of(rows: Sequence[Row], **wanted: object) -> Mean | None:
    """Mean over seeds of the rows with these fields; None where there is none.

    Rows of a seed count as one: systems that share a Transformer all have its likelihood. Of one seed the interval is over
    images alone. Of several its half-widths are √(a² + b²): a, that of the interval over images, no narrower for the number of
    seeds since all are scored beside the same images; b, that of the t interval of the mean over seeds. Where seeds are of
    Transformers over the same tokens, it does not hold what other tokenizers would give.
    """
    found = select(rows, **wanted)
    if not found:
        return None
    ends = ("value", "low", "high")
    of_seed: dict[object, list[list[float]]] = {}
    for row in found:
        of_seed.setdefault(row.get("seed"), []).append([np.nan if row[end] is None else row[end] for end in ends])
    means = np.array([np.mean(values, axis=0) for values in of_seed.values()])
    value, low, high = (float(end) for end in means.mean(axis=0))
    spread = None
    if (seeds := len(means)) > 1:
        spread = float(np.std(means[:, 0], ddof=1))
        half = _half_width(spread, seeds)
        low, high = value - float(np.hypot(value - low, half)), value + float(np.hypot(high - value, half))
    return Mean(value, low, high, spread, seeds_of([r for r in found if "seed" in r]))


def difference_of(rows: Sequence[Row], one: Row, other: Row) -> Mean | None:
    """Mean over seeds of the rows with the fields `one`, less those with the fields `other`, seed by seed.

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
    from scipy.stats import t

    return float(t.ppf(0.975, seeds - 1)) * spread / seeds**0.5


def mean_of(rows: Sequence[Row], **wanted: object) -> float | None:
    """The same without its interval."""
    found = interval_of(rows, **wanted)
    return None if found is None else found.value


def judged_by(rows: Sequence[Row]) -> str:
    """A sentence on the classifier in whose features sets of images were compared; empty where none were."""
    accuracy = next((r["classifier_accuracy"] for r in rows if "classifier_accuracy" in r), None)
    return "" if accuracy is None else f"The classifier is right on {accuracy:.2%} of the test images."


def names_of(rows: Sequence[Row], field: str) -> list[str]:
    """The different values of a field, in order."""
    return list(dict.fromkeys(r[field] for r in rows if field in r))


def nats_of(rows: Sequence[Row], model: str, **wanted: object) -> float | None:
    """Nats of a test token under a model, mean over seeds; None where it was not measured."""
    return mean_of(rows, case="likelihood", model=model, score="nats_per_token", position=None, **wanted)


def seeds_of(rows: Sequence[Row], **wanted: object) -> int:
    """How many seeds the rows with these fields are of."""
    return len({r["seed"] for r in select(rows, **wanted)})
