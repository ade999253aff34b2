"""Swap search: medoids exchanged for better nodes one at a time, as FasterPAM does, without a distance matrix.

Memory is that of the graph, 40 bytes a node, and 28 more for every thread. One candidate costs a search of about 2 n / k nodes.
"""

import itertools
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float, Int

from geovq.medoids import kernels as searches
from geovq.medoids.cost import MIN_GAIN, Objective
from geovq.medoids.nearest import arcs

# Gains are differences of sums as large as the losses: below this share of them it is rounding.
_LOSS_ROUNDING = 1e-13

# More threads than this take more memory than they save time.
_MOST_THREADS = 16

# Candidates come in batches of so many times k. At first they are drawn in proportion to their cost, as long as this share of a
# batch gains; then every node has its turn. At 880,000 nodes drawn ones reach the same cost in 0.6 of the time.
_BATCH = 8
_PRODUCTIVE = 0.02

# Candidates that are tried at once, on all cores: few while many gain, for a swap can spoil what is known of the others.
_FEWEST, _MOST = 16, 1024


class Searched(NamedTuple):
    """Medoids after swaps.

    Attributes:
        medoids: Distinct nodes (k,).
        n_swaps: Swaps made.
        n_candidates: Candidates tried.
        converged: Whether every node has been tried since the last swap: no single swap gains more than rounding.
    """

    medoids: Int[np.ndarray, " k"]
    n_swaps: int
    n_candidates: int
    converged: bool


def swap_search(
    objective: Objective,
    medoids: Int[np.ndarray, " k"],
    rng: np.random.Generator,
    max_candidates: int | None,
    ends: float,
    progress: Callable[[int, float], None],
) -> Searched:
    """Tries nodes as medoids, and makes the best swap with each that gains, until none does or the budget is spent.

    How many threads there are does not change the result.

    Args:
        objective: On n nodes.
        medoids: Distinct nodes (k,), k >= 2.
        rng: Draws the candidates.
        max_candidates: At most so many are tried; None for as many as it takes.
        ends: No more are tried after this time, of `time.monotonic`.
        progress: Called after every batch of 8 k with the candidates tried and the cost.

    Returns:
        Medoids of no greater cost.
    """
    n, batch = objective.graph.shape[0], _BATCH * len(medoids)
    budget = math.inf if max_candidates is None else max_candidates
    with _Search(objective, medoids, ends) as search:

        def spend(candidates: np.ndarray) -> bool:
            """Tries a batch of them; whether time and budget are left."""
            search.try_all(candidates[: int(min(len(candidates), budget - search.n_candidates))])
            search.recount()
            progress(search.n_candidates, search.cost)
            return search.n_candidates < budget and time.monotonic() < ends

        left, productive = True, True
        while left and productive:
            costs, before = search.costs(), search.n_swaps
            drawn = _draw(costs, batch, rng)
            left = spend(drawn)
            productive = search.n_swaps - before > _PRODUCTIVE * len(drawn)
        order = rng.permutation(n)
        search.failed = 0
        for start in itertools.cycle(range(0, n, batch)):
            if not left or search.failed >= n:
                break
            left = spend(order[start : start + batch])
    return Searched(search.state.medoids, search.n_swaps, search.n_candidates, search.failed >= n)


def _draw(costs: np.ndarray, count: int, rng: np.random.Generator) -> Int[np.ndarray, " c"]:
    """So many nodes, or all that cost something, in proportion to their costs."""
    sums = np.cumsum(costs)
    drawn = np.searchsorted(sums, rng.random(count) * sums[-1], side="right")
    return np.unique(drawn[drawn < len(costs)])


class _Search:
    """Medoids, their state, and the threads that try candidates on it."""

    def __init__(self, objective: Objective, medoids: np.ndarray, ends: float) -> None:
        n, k = objective.graph.shape[0], len(medoids)
        self.state = searches.new_state(n, medoids)
        self.n_swaps = 0
        self.n_candidates = 0
        self.failed = 0
        """Candidates tried since the last swap."""
        self._threads = min(os.cpu_count() or 1, _MOST_THREADS)
        self._spaces = [searches.new_work(n, k) for _ in range(self._threads)]
        self._objective, self._ends = objective, ends
        self._known = (arcs(objective.graph), searches.Cost(objective.weights, objective.power), self.state)
        self._at_once = _FEWEST
        searches.two_nearest(*self._known, self._spaces[0])
        self.cost = float(self.costs().sum())

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._threads)
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def costs(self) -> Float[np.ndarray, " n"]:
        """What every node costs."""
        return self._objective.costs(self.state.reach[:, 0])

    def recount(self) -> None:
        """Cost and losses without the rounding of what was added to them."""
        searches.recount(*self._known[1:])
        self.cost = float(self.costs().sum())

    def try_all(self, candidates: Int[np.ndarray, " c"]) -> None:
        """Makes the best swap with every candidate that gains."""
        start = 0
        while start < len(candidates) and time.monotonic() < self._ends:
            some = candidates[start : start + self._at_once]
            start += len(some)
            swapped = self._try(some)
            self.n_candidates += len(some)
            self.n_swaps += swapped
            self.failed = 0 if swapped else self.failed + len(some)
            if swapped > 2:
                self._at_once = max(_FEWEST, self._at_once // 2)
            elif not swapped:
                self._at_once = min(_MOST, self._at_once * 2)

    def _try(self, candidates: np.ndarray) -> int:
        """Tries candidates at once; the number of swaps made."""
        change, leaving = np.empty(len(candidates)), np.empty(len(candidates), np.int32)
        bounds = [len(candidates) * thread // self._threads for thread in range(self._threads + 1)]

        def part(low: int, high: int, space: searches.Work) -> None:
            searches.gains(*self._known, candidates[low:high], change[low:high], leaving[low:high], space)

        list(self._pool.map(part, bounds[:-1], bounds[1:], self._spaces))

        def gain(c: np.ndarray | int) -> np.ndarray | np.bool_:
            """Whether swaps gain more than rounding."""
            return change[c] < -MIN_GAIN * self.cost - _LOSS_ROUNDING * self.state.loss[leaving[c]]

        swapped = 0
        for c in np.flatnonzero(gain(np.arange(len(candidates)))).tolist():
            if swapped:  # what was found no longer holds for sure
                part(c, c + 1, self._spaces[0])
            if gain(c):
                searches.swap(*self._known, leaving[c], candidates[c], self._spaces[0])
                self.cost += change[c]
                swapped += 1
        return swapped
