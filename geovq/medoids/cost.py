"""The cost that k-medoids minimises."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from geovq.medoids.nearest import nearest

MIN_GAIN = 1e-12
"""Least gain that counts, as a share of the cost: rounding of a sum may make a tie look like a gain."""


class Objective(NamedTuple):
    """Σ weight · distance^power over the nodes of a graph, with the distance of each to its nearest medoid."""

    graph: csr_array
    """Checked and connected (n, n)."""
    weights: Float[np.ndarray, " n"]
    """Finite, >= 0 and not all 0."""
    power: int
    """1 or 2."""

    def costs(self, distances: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Cost of every node."""
        return self.weights * distances**self.power

    def cost(self, distances: Float[np.ndarray, " n"]) -> float:
        """Their sum, correctly rounded: a sum in another order could seem to rise when nothing did."""
        return math.fsum(self.costs(distances).tolist())


def with_exact_sums(graph: csr_array) -> csr_array:
    """The graph with lengths rounded to multiples of one power of two, so coarse that all lengths of paths are exact.

    Then equally long paths are equally long whichever way they are added up, and no edge is lost beside a long path. The lengths
    change by a few 10⁻¹⁵ of the graph's diameter at most.

    Args:
        graph: Checked and connected (n, n).
    """
    _, distances = nearest(graph, np.zeros(1, np.int64))
    longest = 2 * distances.max(initial=0) + graph.data.max(initial=0)  # no shortest path and one edge are longer
    if longest == 0:
        return graph
    quantum = 2.0 ** (math.ceil(math.log2(longest)) - 51)
    return csr_array(
        (np.maximum(np.round(graph.data / quantum), 1) * quantum, graph.indices, graph.indptr), graph.shape
    )
