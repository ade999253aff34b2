"""Geodesic k-medoids as a scikit-learn estimator: points -> graph of neighbours -> medoids, and new points attached to it."""

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from geovq.graph.attach import attach_points, nearest_label
from geovq.graph.components import join_components
from geovq.graph.csr import neighbour_graph, undirected, with_lengths
from geovq.graph.deduplicate import merge_duplicates
from geovq.graph.neighbours import nearest_neighbours
from geovq.medoids.precomputed import edges_of_lengths, graph_of_lengths
from geovq.medoids.search import check_search, k_medoids
from geovq.metric.edge_lengths import check_metrics, measure_edges
from geovq.validation import InputError, check_whole, shown

ArrayLike = Any
"""Anything that scikit-learn's `validate_data` takes: arrays, nested lists, data frames; sparse where lengths are precomputed."""

_FLOATS = (np.float64, np.float32)

# Distances from medoids to all nodes that `transform` holds at once: 32 MiB.
_DISTANCES = 2**22


class GeodesicKMedoids(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """K medoids by the length of shortest paths through a graph of nearest neighbours.

    Copies are merged and weigh what they weigh together, points of weight 0 are left out, and the order of the rows does not
    matter. Components of the graph are joined by the shortest edges between them, and then every edge is measured by `metric`. A
    new point is attached by edges to its nearest training points, and goes on from there along their paths.

    Args:
        n_clusters: Medoids, from 1 to the number of distinct points.
        n_neighbors: Neighbours that every point is joined to, at least 1; all others where there are no more than that.
        metric: None for Euclidean lengths. A function of points (n, d) that returns their metrics (n, d, d), symmetric and
            positive semi-definite, each from its own row alone; an edge is as long as `geovq.metric.edge_lengths.edge_length`
            says. Or "precomputed": `fit` takes lengths between all training points (n, n), and the other methods those from new
            points to them (q, n). A dense array has an edge everywhere, a sparse one for each stored entry: in `fit` both ways,
            and so that the graph is connected. The diagonal is not read by `fit`, points of weight 0 stay in the graph, and
            copies are not merged. A new point of length 0 to training points is the first of them.
        power: 1 or 2: of a length in the cost.
        method: How neighbours are found, see `geovq.graph.neighbours.nearest_neighbours`.
        max_candidates: Budget of the search, see `geovq.medoids.search.k_medoids`.
        max_seconds: The search ends after this time; None for no limit. With a limit the result depends on the time.
        random_state: An integer gives the same result every time.

    Attributes:
        cluster_centers_: The medoids (K, d); not for "precomputed".
        medoid_indices_: Where each first occurs among the rows of the training set (K,).
        labels_: Nearest medoid of every row of the training set (n,), also of those of weight 0.
        distances_: Geodesic length to it (n,).
        inertia_: Σ weight · distance^power over the training set.
        n_iter_: Swaps and rounds of Voronoi iteration that were made.
        converged_: Whether no change that was searched for lowers the cost, see `geovq.medoids.search.KMedoids`.
        recall_: Fraction of the true nearest neighbours that were found; not for "precomputed".
        n_features_in_: d, or the number of training points for "precomputed".
        feature_names_in_: Names of the columns, where X has some.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_neighbors: int = 16,
        metric: Callable[[np.ndarray], np.ndarray] | Literal["precomputed"] | None = None,
        power: int = 1,
        method: str = "auto",
        max_candidates: int | Literal["auto"] | None = "auto",
        max_seconds: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        """Keeps the options as they are; `fit` checks them."""
        self.n_clusters = n_clusters
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.power = power
        self.method = method
        self.max_candidates = max_candidates
        self.max_seconds = max_seconds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Finds the medoids.

        Args:
            X: Training points (n, d), or lengths between them (n, n).
            y: Not used.
            sample_weight: How much each counts (n,), >= 0; None for 1 each.

        Returns:
            The estimator.

        Raises:
            ValueError: Options out of range; X or weights that are not finite numbers of these shapes; more clusters than
                distinct points of weight > 0; metrics of another shape, not finite or not positive semi-definite; lengths that
                are no connected graph.
        """
        self._check_parameters()
        X = self._validate(X, reset=True)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        seed = _random_state(self.random_state).randint(np.iinfo(np.int32).max)
        if self._is_precomputed:
            rows = of_row = np.arange(X.shape[0])
            self._graph = graph_of_lengths(X)
            self._check_enough(len(rows), len(rows))
        else:
            rows, of_row, weights = self._join_points(X, weights, seed)
        self._found = k_medoids(
            self._graph,
            self.n_clusters,
            weights=weights,
            power=self.power,
            seed=seed,
            max_candidates=self.max_candidates,
            max_seconds=self.max_seconds,
        )
        self.medoid_indices_ = rows[self._found.medoids]
        if not self._is_precomputed:
            self.cluster_centers_ = X[self.medoid_indices_]
        self.labels_, self.distances_ = self._found.labels[of_row], self._found.distances[of_row]
        left_out = of_row < 0
        if left_out.any():
            self.labels_[left_out], self.distances_[left_out] = self._nearest(X[left_out])
        self.inertia_ = self._found.cost
        self.n_iter_ = self._found.n_swaps + self._found.n_rounds
        self.converged_ = self._found.converged
        self._n_features_out = self.n_clusters
        return self

    def predict(self, X: ArrayLike) -> Int32[np.ndarray, " q"]:
        """Nearest medoid of every row (q,). Rows do not influence each other; a training point has its label.

        Raises:
            ValueError: X that does not fit the training set, NaN or infinity, or metrics that `fit` would refuse.
        """
        check_is_fitted(self)
        return self._nearest(self._validate(X))[0]

    def transform(self, X: ArrayLike) -> Float[np.ndarray, "q K"]:
        """Geodesic length from every row to every medoid (q, K), in the dtype of X; one shortest-path tree for each medoid.

        Raises:
            ValueError: What `predict` refuses.
        """
        check_is_fitted(self)
        X = self._validate(X)
        near, steps = self._attach(X)
        medoids = self._found.medoids
        lengths = np.empty((X.shape[0], len(medoids)), X.dtype)
        chunk = max(1, _DISTANCES // self._graph.shape[0])
        for start in range(0, len(medoids), chunk):
            trees = dijkstra(self._graph, indices=medoids[start : start + chunk])
            for index, distances in enumerate(trees, start):
                lengths[:, index] = (steps + distances[near]).min(axis=1)
        return lengths

    def score(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """-Σ weight · distance^power: the larger the better, and -`inertia_` for the training set.

        Raises:
            ValueError: What `predict` refuses, or weights that are not q numbers >= 0.
        """
        check_is_fitted(self)
        X = self._validate(X)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        return -float(weights @ self._nearest(X)[1] ** self.power)

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn may pass: lengths, dense or sparse, only where they are precomputed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = tags.input_tags.sparse = tags.input_tags.positive_only = self._is_precomputed
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _is_precomputed(self) -> bool:
        return isinstance(self.metric, str) and self.metric == "precomputed"

    def _check_parameters(self) -> None:
        check_search(self.power, self.max_candidates, self.max_seconds)
        for name in ("n_clusters", "n_neighbors"):
            check_whole(name, getattr(self, name))
        if not (self.metric is None or callable(self.metric) or self._is_precomputed):
            raise InputError(
                f'metric: expected None, a function of points or "precomputed", found {shown(self.metric)}; '
                "pass None for Euclidean lengths."
            )

    def _check_enough(self, n_distinct: int, n_samples: int) -> None:
        if self.n_clusters > n_distinct:
            raise InputError(
                f"n_clusters: expected at most {n_distinct}, the distinct points of weight > 0 among n_samples={n_samples}, "
                f"found {self.n_clusters}; ask for fewer clusters or give more points."
            )

    def _validate(self, X: ArrayLike, *, reset: bool = False) -> Any:
        given = self._is_precomputed
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr" if given else False,
            dtype=_FLOATS,
            ensure_non_negative=given,
        )

    def _join_points(
        self, X: np.ndarray, weights: np.ndarray, seed: int
    ) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " n"], Float[np.ndarray, " u"]]:
        """Keeps nodes and graph; returns the first row of every node, the node of every row (-1: left out), and the weights."""
        merged = merge_duplicates(X)
        weights = np.bincount(merged.index, weights)
        # Sorted, for neither ties nor the seed to tell one order of the rows from another.
        kept = np.lexsort(merged.points.T)
        kept = kept[weights[kept] > 0]
        n = len(kept)
        self._check_enough(n, len(X))
        self._points = merged.points[kept]
        self._metrics = self._metrics_at(self._points)
        self._n_edges = max(1, min(self.n_neighbors, n - 1))
        graph, self.recall_ = csr_array((n, n)), 1.0
        if n > 1:
            neighbours = nearest_neighbours(self._points, self._n_edges, method=self.method, seed=seed)
            graph, self.recall_ = neighbour_graph(neighbours), neighbours.recall
        self._graph = join_components(graph, self._points)
        if self._metrics is not None:
            senders, receivers, _ = undirected(self._graph)
            lengths = measure_edges(self._points, self._metrics, senders, receivers)
            self._graph = with_lengths(self._graph, lengths)
        node = np.full(len(merged.points), -1)
        node[kept] = np.arange(n)
        return np.unique(merged.index, return_index=True)[1][kept], node[merged.index], weights[kept]

    def _metrics_at(self, points: np.ndarray) -> Float[np.ndarray, "n d d"] | None:
        return check_metrics(self.metric(points), points) if callable(self.metric) else None

    def _nearest(self, X: np.ndarray | csr_array) -> tuple[Int32[np.ndarray, " q"], Float[np.ndarray, " q"]]:
        return nearest_label(*self._attach(X), self._found.labels, self._found.distances)

    def _attach(self, X: np.ndarray | csr_array) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
        """Edges from every row to nodes: which, and how long. A copy of a node has that edge alone."""
        if self._is_precomputed:
            near, steps = edges_of_lengths(X)
            copy = steps == 0
        else:
            metrics = self._metrics_at(X)
            near, steps = attach_points(
                self._points, X, self._n_edges, node_metrics=self._metrics, point_metrics=metrics
            )
            copy = steps == 0
            rows, columns = np.nonzero(copy)  # a metric may be blind to the step between two different points
            copy[rows, columns] = (self._points[near[rows, columns]] == X[rows]).all(axis=1)
        # Over another edge a path could seem shorter by rounding, or be shorter where approximate neighbours missed that edge.
        return near, np.where(copy.any(axis=1, keepdims=True) & ~copy, np.inf, steps)


def _random_state(state: Any) -> np.random.RandomState:
    """What scikit-learn makes of it.

    Raises:
        InputError: It refuses it.
    """
    try:
        return check_random_state(state)
    except ValueError as error:
        raise InputError(f"random_state: {error}; pass a whole number, None or a RandomState.") from error
