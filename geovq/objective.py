"""What k-medoids makes small."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array


class Objective(NamedTuple):
    """Σ weight · distance^power over the nodes of a graph, with the distance of each to its nearest medoid."""

    graph: csr_array
    """Checked and connected (n, n)."""
    weights: Float[np.ndarray, " n"]
    """Finite, >= 0 and not all 0."""
    power: int
    """1 or 2."""

    def costs(self, distances: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """What every node costs."""
        return self.weights * distances**self.power

    def cost(self, distances: Float[np.ndarray, " n"]) -> float:
        """Their sum, correctly rounded: a sum in another order could seem to rise when nothing did."""
        return math.fsum(self.costs(distances).tolist())
