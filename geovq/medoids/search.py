"""Shortest-path k-medoids: K nodes of a graph such that every node is near one of them along the edges.

The search never holds an n x n matrix: first medoids by `geovq.medoids.seeding`, then better ones by `geovq.medoids.swap`, and
by `geovq.medoids.voronoi` where the budget ends the swaps early or numba is not installed.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, Num
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

from geovq.graph.csr import AnyGraph, check_graph
from geovq.medoids.cost import Objective, with_exact_sums
from geovq.medoids.nearest import label_nodes, load_kernels, nearest
from geovq.medoids.seeding import seed_medoids
from geovq.medoids.voronoi import voronoi
from geovq.validation import InputError, as_array, check_number, check_real, check_seed, check_whole

Progress = Callable[[str, int, float], None]
"""Called with the phase ("seed", "swap" or "voronoi"), its candidates or rounds so far, and the cost."""

# "auto": a candidate is compared with about 2 n / k nodes, so these are so many comparisons for every node, and in all.
_EACH = 512
_AT_LEAST = 10_000_000

# Share of `max_seconds` after which swaps end, so that cells can choose their medoids again.
_SWAPS = 0.85

# After swaps, rounds of Voronoi iteration end where one gains less than this share of the cost.
_WORTHWHILE = 1e-3


class KMedoids(NamedTuple):
    """Medoids of a graph and the cells around them.

    Attributes:
        medoids: K distinct nodes (k,).
        labels: Index into `medoids` of each node's nearest medoid (n,).
        distances: Shortest-path length from each node to its own medoid (n,), in the units of the graph.
        cost: Σ weight · distance^power.
        n_candidates: Nodes that were tried as medoids by swap search.
        n_swaps: Swaps that it made.
        n_rounds: Rounds of Voronoi iteration.
        converged: Whether no single swap lowers the cost by more than rounding; without swap search (K = 1, no candidates, or no
            numba), whether no cell has a better medoid, as far as Voronoi iteration can tell.
    """

    medoids: Int[np.ndarray, " k"]
    labels: Int32[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]
    cost: float
    n_candidates: int
    n_swaps: int
    n_rounds: int
    converged: bool


def k_medoids(
    graph: AnyGraph,
    k: int,
    *,
    weights: Num[np.ndarray, " n"] | None = None,
    power: int = 1,
    seed: int = 0,
    max_candidates: int | Literal["auto"] | None = "auto",
    max_seconds: float | None = None,
    progress: Progress | None = None,
) -> KMedoids:
    """K medoids by weighted shortest-path length, without a distance matrix.

    Seeds like k-means++, swaps medoids for better nodes as FasterPAM does (Schubert & Rousseeuw 2021), and where the budget ends
    that before no swap gains, lets every cell choose its medoid again. The cost never rises, and the K medoids stay distinct.

    Args:
        graph: Connected symmetric graph (n, n), lengths > 0.
        k: Number of medoids, 1 <= k <= n.
        weights: Multiplicity of each node (n,), finite, >= 0 and not all 0; None for one each.
        power: 1 or 2: of a length in the cost.
        seed: The same seed gives the same result, unless `max_seconds` ends the search.
        max_candidates: Nodes that are tried as medoids, some of them more than once. "auto" is 256 k, work in proportion to the
            edges of the graph, or what takes seconds where that is more; None is as many as it takes until no swap gains, which
            for a million nodes is hours.
        max_seconds: The search ends after this time with what it has found; None for no limit.
        progress: Called now and then.

    Returns:
        Medoids, with labels, distances and cost from one last pass over the graph as it was given.

    Raises:
        InputError: What `check_graph` refuses; a graph that is not connected; k, power, the budget or weights outside the ranges
            above.
    """
    graph = check_graph(graph)
    n = graph.shape[0]
    _check_connected(graph)
    check_whole("k", k, 1, n, remedy="ask for fewer medoids or give more nodes")
    check_search(power, max_candidates, max_seconds)
    check_seed(seed)
    weights = _check_weights(weights, n)
    if isinstance(max_candidates, str):
        max_candidates = _auto_candidates(n, k)
    started = time.monotonic()
    ends, swaps_end = (math.inf if max_seconds is None else started + share * max_seconds for share in (1, _SWAPS))
    say = progress or (lambda phase, done, cost: None)

    # Neighbours become near in memory too: searches of a million nodes take half the time.
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    ordered = csr_array(graph[order][:, order])
    ordered.sort_indices()
    objective = Objective(with_exact_sums(ordered), weights[order], power)
    rng = np.random.default_rng(seed)

    medoids = seed_medoids(objective, k, rng)
    if progress is not None:
        progress("seed", k, objective.cost(nearest(objective.graph, medoids)[1]))
    found = None
    if k > 1 and max_candidates != 0 and load_kernels() is not None:
        from geovq.medoids.swap import swap_search  # needs numba

        found = swap_search(objective, medoids, rng, max_candidates, swaps_end, functools.partial(say, "swap"))
        medoids = found.medoids
    n_rounds, converged = 0, found is not None and found.converged
    if not converged:
        worthwhile = 0.0 if found is None else _WORTHWHILE
        settled = voronoi(objective, medoids, rng, worthwhile, ends, functools.partial(say, "voronoi"))
        medoids, n_rounds = settled.medoids, settled.n_rounds
        converged = settled.converged and found is None
    n_candidates, n_swaps = (0, 0) if found is None else (found.n_candidates, found.n_swaps)

    medoids = order[medoids].astype(np.int64)
    labels, distances = label_nodes(graph, medoids)
    cost = Objective(graph, weights, power).cost(distances)
    return KMedoids(medoids, labels, distances, cost, n_candidates, n_swaps, n_rounds, converged)


def _auto_candidates(n: int, k: int) -> int:
    return max(_EACH * k // 2, math.ceil(_AT_LEAST * k / (2 * n)))


def check_search(power: int, max_candidates: int | str | None, max_seconds: float | None) -> None:
    """Refuses options of `k_medoids` before anything is computed.

    Raises:
        InputError: Names the option, its range and its value.
    """
    check_whole("power", power, 1, 2)
    if max_candidates is not None and not (isinstance(max_candidates, str) and max_candidates == "auto"):
        check_whole("max_candidates", max_candidates, 0, remedy='give a number, None or "auto"')
    if max_seconds is not None:
        check_number("max_seconds", max_seconds, "a number >= 0", lambda value: value >= 0, "give a time or None")


def _check_connected(graph: csr_array) -> None:
    count, labels = connected_components(graph, directed=False)
    if count > 1:
        raise InputError(
            f"graph: expected one connected component, found {count}, the largest of {np.bincount(labels).max()} of "
            f"{len(labels)} nodes; join them by bridge_components, or keep the nodes of largest_component."
        )


def _check_weights(weights: np.ndarray | None, n: int) -> Float[np.ndarray, " n"]:
    if weights is None:
        return np.ones(n)
    weights = as_array("weights", weights)
    if weights.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one for each node, found {weights.shape}; pass one a node.")
    weights = check_real("weights", weights).astype(np.float64)
    if (weights < 0).any() or not weights.any():
        raise InputError(
            f"weights: expected values >= 0 and some > 0, found values in [{weights.min():g}, {weights.max():g}]; "
            "pass how often each node occurs."
        )
    return weights
