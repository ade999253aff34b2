"""How fast is the pass that finds the nearest medoid of every node, beside other ways to it?

    python -m benchmarks.nearest --run runs/quick --data-dir DIR
    python -m benchmarks.nearest --run runs/quick --data-dir DIR --images 6250    # only the smaller graph, with more peers

The first takes six minutes on two idle CPU cores; the run needs its VAE. Graphs of FashionMNIST's tokens with pullback lengths
from sketched metrics; graph libraries are compared where they are installed (pip install -e '.[peers]'). All ways must agree
before they are timed in turn. Writes benchmarks/results/nearest.json.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common.harness import in_turn, save
from benchmarks.common.rows import Row, ratio_row, spread_row
from train.run.command_line import parse, run_program

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CODES = 512
ROUNDS = 7
IMAGES = (6_250, 60_000)
"""Images whose tokens are the nodes; peers that hold a graph in Python objects are tried on the smaller one alone."""
ROWS = 8
"""Separate rows that are timed; all K take K / 8 times as long."""
SEPARATE = "SciPy, a row for each medoid, extrapolated"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of this benchmark."""

    images: int = IMAGES[-1]
    """Images at most, training and validation images together."""


Distances = Callable[[], np.ndarray]


def scipy_min_only(graph: "csr_array", medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and distances by SciPy's own pass from many sources."""
    from scipy.sparse.csgraph import dijkstra

    distances, _, near = dijkstra(graph, directed=True, indices=medoids, min_only=True, return_predecessors=True)
    index = np.empty(graph.shape[0], np.int32)
    index[medoids] = np.arange(len(medoids))
    return index[near], distances


def separate_rows(graph: "csr_array", medoids: np.ndarray) -> np.ndarray:
    """Least of separate rows, each a search from one medoid."""
    from scipy.sparse.csgraph import dijkstra

    least = np.full(graph.shape[0], np.inf)
    for medoid in medoids:
        np.minimum(least, dijkstra(graph, directed=True, indices=medoid), out=least)
    return least


def libraries(graph: "csr_array", medoids: np.ndarray) -> dict[str, Distances]:
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


def compare(graph: "csr_array", with_libraries: bool) -> list[Row]:
    """All ways on one graph."""
    from geovq.medoids.nearest import labels_of, nearest, nearest_medoid

    medoids = np.random.default_rng(0).choice(graph.shape[0], CODES, replace=False)

    def one_pass() -> tuple[Any, Any]:
        near, distances = nearest(graph, medoids)
        return labels_of(medoids, near), distances

    truth = nearest_medoid(graph, medoids)
    for found in (one_pass(), scipy_min_only(graph, medoids)):
        np.testing.assert_array_equal(found[0], truth[0])
        np.testing.assert_array_equal(found[1], truth[1])
    some = nearest_medoid(graph, medoids[:ROWS])[1]
    np.testing.assert_array_equal(separate_rows(graph, medoids[:ROWS]), some)
    ways: dict[str, Callable[[], object]] = {
        "ours, the pass": one_pass,
        "ours, nearest_medoid with its checks": lambda: nearest_medoid(graph, medoids),
        "SciPy, min_only": lambda: scipy_min_only(graph, medoids),
        SEPARATE: lambda: separate_rows(graph, medoids[:ROWS]),
    }
    if with_libraries:
        for name, library in libraries(graph, medoids).items():
            np.testing.assert_allclose(library(), truth[1], rtol=1e-9, err_msg=name)
            ways[f"{name}, distances alone"] = library
    seconds = in_turn(ways, ROUNDS)
    seconds[SEPARATE] = [s * CODES / ROWS for s in seconds[SEPARATE]]
    rows = []
    for way in ways:
        fields: Row = {"case": "nearest medoid", "nodes": graph.shape[0], "codes": CODES, "way": way}
        rows += [
            spread_row(fields, "seconds", seconds[way]),
            ratio_row(fields, seconds[way], seconds["ours, the pass"]),
        ]
        print(
            f"{graph.shape[0]:,} nodes, {way}: {rows[-2]['value']:.3f} s, {rows[-1]['value']:.3g} times ours",
            flush=True,
        )
    return rows


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae",), bound=False)

    from benchmarks.common import graphs
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.models.spatial_vae import callables
    from geovq.validation import check_images
    from train.stages import inputs as stages
    from train.stages import networks

    dataset = stages.images(run.config.data).dataset
    images = check_images(np.concatenate([dataset.train_images, dataset.val_images])[: options.images])
    encode, decode_batch = callables(networks.trained_vae(run, images.shape[1:]))
    latents = encode_images(encode, images)
    rows: list[Row] = []
    for count in (count for count in IMAGES if count <= len(latents)):
        graph = graphs.of_latents(single(decode_batch), latents[:count]).graph
        rows += compare(graph, with_libraries=count == IMAGES[0])
    save("nearest", rows, {"medoids": 0}, f"{ROUNDS} rounds in turn, {len(latents):,} images")


if __name__ == "__main__":
    run_program(main)
