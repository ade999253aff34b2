"""Other ways to the distance from every node to the nearest of K medoids."""

import importlib.util
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

Distances = Callable[[], np.ndarray]


def scipy_min_only(graph: csr_array, medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and distances by SciPy's own pass from many sources."""
    distances, _, near = dijkstra(graph, directed=True, indices=medoids, min_only=True, return_predecessors=True)
    place = np.empty(graph.shape[0], np.int32)
    place[medoids] = np.arange(len(medoids))
    return place[near], distances


def separate_rows(graph: csr_array, medoids: np.ndarray) -> np.ndarray:
    """Least of separate rows, each a search from one medoid."""
    least = np.full(graph.shape[0], np.inf)
    for medoid in medoids:
        np.minimum(least, dijkstra(graph, directed=True, indices=medoid), out=least)
    return least


def libraries(graph: csr_array, medoids: np.ndarray) -> dict[str, Distances]:
    """Graph libraries that are installed. One more node, at length 0 from every medoid, is their only source.

    Building their graph is not counted.
    """
    n = graph.shape[0]
    stored = graph.tocoo()
    once = stored.row < stored.col
    senders = np.concatenate([stored.row[once], np.full(len(medoids), n)])
    receivers = np.concatenate([stored.col[once], medoids])
    lengths = np.concatenate([stored.data[once], np.zeros(len(medoids))])
    makers = {"networkit": _networkit, "igraph": _igraph, "rustworkx": _rustworkx}
    return {
        name: make(n, senders, receivers, lengths)
        for name, make in makers.items()
        if importlib.util.find_spec(name) is not None
    }


def _networkit(n: int, senders: np.ndarray, receivers: np.ndarray, lengths: np.ndarray) -> Distances:
    import networkit

    graph = networkit.GraphFromCoo((lengths, (senders, receivers)), n + 1, weighted=True)

    def distances() -> np.ndarray:
        search = networkit.distance.Dijkstra(graph, n, storePaths=False)
        search.run()
        return np.asarray(search.getDistances())[:n]

    return distances


def _igraph(n: int, senders: np.ndarray, receivers: np.ndarray, lengths: np.ndarray) -> Distances:
    import igraph

    graph = igraph.Graph(n + 1, np.stack([senders, receivers], axis=1))
    return lambda: np.array(graph.distances(source=n, weights=lengths, algorithm="dijkstra")[0])[:n]


def _rustworkx(n: int, senders: np.ndarray, receivers: np.ndarray, lengths: np.ndarray) -> Distances:
    import rustworkx

    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(n + 1))
    graph.add_edges_from(list(zip(senders.tolist(), receivers.tolist(), lengths.tolist(), strict=True)))

    def distances() -> np.ndarray:
        found = rustworkx.dijkstra_shortest_path_lengths(graph, n, edge_cost_fn=float)
        return np.array([found[node] for node in range(n)])

    return distances
