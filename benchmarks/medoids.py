"""How good and how fast are k-medoids on geodesic graphs, from 10,000 nodes to all tokens of FashionMNIST?

    python -m benchmarks.medoids --run runs/quick --data-dir DIR
    python -m benchmarks.medoids --run runs/quick --data-dir DIR --images 6250    # a tenth, and without the largest graphs

The first takes 40 minutes on two idle CPU cores; the run needs its VAE. Packages that it compares with are used where they are
installed (pip install -e '.[peers]'). Everything is timed in turn in one process, after a small warm-up; costs are those of
`nearest_medoid` for all alike. Writes benchmarks/results/medoids.json.
"""

import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common.harness import peak_bytes_of, save
from benchmarks.common.rows import Row, ratio_row, row, spread_row
from train.run.command_line import parse, run_program

SEEDS = (0, 1, 2)
IMAGES = (625, 1_875, 6_250, 18_750, 60_000)
"""Images whose tokens are the nodes: of FashionMNIST's 16 tokens an image, 10,000 to 960,000 nodes."""
SMALL_CODES = (512, 64)
LARGE_CODES = (512, 1024)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of this benchmark."""

    images: int = IMAGES[-1]
    """Images at most, training and validation images together."""


def beside_fasterpam(data: str, graph: Any) -> list[Row]:
    """Cost and time on a graph that is small enough for a distance matrix."""
    from benchmarks.common import graphs

    distances, matrix_seconds = graphs.matrix(graph)
    n, rows = graph.shape[0], []
    rows.append(row({"case": "distance matrix", "data": data, "nodes": n}, "seconds", matrix_seconds))
    for k in SMALL_CODES:
        ways: dict[str, Callable[[int], Any]] = {
            "FasterPAM": functools.partial(graphs.fasterpam, distances, k),
            "ours": functools.partial(ours, graph, k, "auto"),
            "ours, until no swap gains": functools.partial(ours, graph, k, None),
        }
        costs, seconds = compared(graph, ways)
        whole = [matrix_seconds + s for s in seconds["FasterPAM"]]
        for way in ways:
            fields: Row = {"case": "beside FasterPAM", "data": data, "nodes": n, "codes": k, "way": way}
            rows.append(spread_row(fields, "seconds", whole if way == "FasterPAM" else seconds[way]))
            rows.append(ratio_row(fields | {"of": "cost"}, costs[way], costs["FasterPAM"]))
            rows.append(ratio_row(fields | {"of": "speed"}, whole, whole if way == "FasterPAM" else seconds[way]))
    return rows


def beside_voronoi(data: str, graph: Any, with_clara: bool) -> list[Row]:
    """Cost and time on a graph whose distance matrix would not fit. The others take minutes for a seed, so one has to do."""
    from benchmarks.common import graphs

    k = SMALL_CODES[0]
    costs, seconds = compared(graph, {"ours": functools.partial(ours, graph, k, "auto")})
    others: dict[str, Callable[[int], Any]] = {"Voronoi, exact cells": functools.partial(graphs.voronoi, graph, k)}
    if with_clara:
        others["CLARA"] = functools.partial(graphs.clara, graph, k)
    found = compared(graph, others, SEEDS[:1])
    costs, seconds = costs | found[0], seconds | found[1]
    rows = []
    for way in costs:
        fields: Row = {"case": "beside Voronoi", "data": data, "nodes": graph.shape[0], "codes": k, "way": way}
        rows.append(spread_row(fields, "seconds", seconds[way]))
        same = len(costs[way])
        rows.append(ratio_row(fields | {"of": "our cost"}, costs["ours"][:same], costs[way]))
        rows.append(ratio_row(fields | {"of": "our time"}, seconds["ours"][:same], seconds[way]))
    return rows


def ours(graph: Any, k: int, max_candidates: Any, seed: int) -> Any:
    """Medoids by `k_medoids`."""
    from geovq.medoids.search import k_medoids

    return k_medoids(graph, k, seed=seed, max_candidates=max_candidates).medoids


def compared(
    graph: Any, ways: dict[str, Callable[[int], Any]], seeds: Sequence[int] = SEEDS
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Cost and seconds of every way for every seed, the ways in turn."""
    from geovq.medoids.nearest import nearest_medoid

    costs: dict[str, list[float]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for seed in seeds:
        for name, way in ways.items():
            started = time.perf_counter()
            medoids = way(seed)
            seconds[name].append(time.perf_counter() - started)
            costs[name].append(float(nearest_medoid(graph, medoids)[1].sum()))
            print(f"{name}, seed {seed}: cost {costs[name][-1]:.6g}, {seconds[name][-1]:.2f} s", flush=True)
    return costs, seconds


def whole_way(data: str, decode: Any, grids: Any) -> tuple[list[Row], Any]:
    """From loaded latents to medoids, stage by stage; and the graph."""
    from benchmarks.common import graphs
    from geovq.medoids.search import k_medoids

    def all_of_it() -> Any:
        measured = graphs.of_latents(decode, grids)
        found = []
        for k in LARGE_CODES:
            started = time.perf_counter()
            one = k_medoids(measured.graph, k, weights=measured.weights)
            found.append((k, time.perf_counter() - started, one))
            print(f"{len(measured.points):,} nodes, K = {k}: cost {one.cost:.6g}, {found[-1][1]:.1f} s", flush=True)
        return measured, found

    (measured, found), peak = peak_bytes_of(all_of_it)
    fields: Row = {"case": "from latents to medoids", "data": data, "tokens": int(grids[..., 0].size)}
    rows = [row(fields | {"stage": stage}, "seconds", s) for stage, s in measured.seconds.items()]
    rows += [
        row(fields, "nodes", len(measured.points)),
        row(fields, "edges", measured.graph.nnz // 2),
        row(fields, "bridges", measured.bridges),
        row(fields, "recall", measured.recall),
        row(fields, "bytes", float("nan") if peak is None else peak),
    ]
    graph_seconds = sum(s for stage, s in measured.seconds.items() if stage != "metrics")
    for k, seconds, one in found:
        of = fields | {"codes": k}
        rows += [
            row(of | {"stage": "medoids"}, "seconds", seconds),
            row(of | {"stage": "graph and medoids"}, "seconds", graph_seconds + seconds),
            row(of | {"stage": "all"}, "seconds", sum(measured.seconds.values()) + seconds),
            row(of, "cost_per_node", one.cost / len(measured.points)),
            row(of, "candidates", one.n_candidates),
            row(of, "swaps", one.n_swaps),
        ]
    return rows, measured


def slopes(rows: list[Row]) -> list[Row]:
    """Slopes of log time over log tokens, by least squares over all sizes."""
    import numpy as np

    found = []
    for k in LARGE_CODES:
        for stage in ("medoids", "graph and medoids", "all"):
            times = [
                (r["tokens"], r["value"])
                for r in rows
                if (r.get("codes"), r.get("stage"), r["score"]) == (k, stage, "seconds")
            ]
            tokens, seconds = np.log(np.array(times)).T
            fields: Row = {"case": "slope of time over tokens", "codes": k, "stage": stage}
            found.append(row(fields, "slope", np.polyfit(tokens, seconds, 1)[0], len(times)))
    return found


def beside_faiss(points: Any) -> list[Row]:
    """Neighbours by descent, and by faiss at the same recall."""
    import numpy as np

    from benchmarks.common.graphs import NEIGHBOURS
    from geovq.graph.neighbours import nearest_neighbours, recall

    fields: Row = {"case": "neighbours", "nodes": len(points)}
    started = time.perf_counter()
    ours = nearest_neighbours(points, NEIGHBOURS, method="descent")
    rows = [
        row(fields | {"way": "ours, descent"}, "seconds", time.perf_counter() - started),
        row(fields | {"way": "ours, descent"}, "recall", ours.recall),
    ]
    if importlib.util.find_spec("faiss") is None:
        return rows
    import faiss

    cells = int(4 * len(points) ** 0.5)
    started = time.perf_counter()
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], cells)
    index.train(points)
    index.add(points)
    building = time.perf_counter() - started
    for probes in (4, 8, 16, 32, 64):
        started = time.perf_counter()
        index.nprobe = probes
        nodes = index.search(points, NEIGHBOURS + 1)[1]
        seconds = building + time.perf_counter() - started
        lengths = np.stack(
            [np.linalg.norm(points[column].astype(np.float64) - points, axis=1) for column in nodes.T[1:]], 1
        )
        found = recall(points, lengths)
        of = fields | {"way": f"faiss IVF, {cells} cells, {probes} probes"}
        rows += [row(of, "seconds", seconds), row(of, "recall", found)]
        print(f"{of['way']}: {seconds:.1f} s, recall {found:.5f}", flush=True)
        if found >= ours.recall:
            break
    return rows


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae",), bound=False)

    import numpy as np

    from benchmarks.common import graphs
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.graph.neighbours import nearest_neighbours
    from geovq.medoids.search import k_medoids
    from geovq.models.spatial_vae import callables
    from geovq.validation import check_images
    from train.stages import inputs as stages
    from train.stages import networks

    dataset = stages.images(run.config.data).dataset
    images = check_images(np.concatenate([dataset.train_images, dataset.val_images]))[: options.images]
    encode, decode_batch = callables(networks.trained_vae(run, images.shape[1:]))
    decode, latents = single(decode_batch), encode_images(encode, images)
    latents = latents[np.random.default_rng(0).permutation(len(latents))]
    data = run.config.data.dataset
    with_peers = importlib.util.find_spec("kmedoids") is not None

    measured = graphs.of_latents(decode, latents[:300])
    started = time.perf_counter()
    nearest_neighbours(measured.points, graphs.NEIGHBOURS, method="descent")
    k_medoids(measured.graph, SMALL_CODES[1])
    rows: list[Row] = [row({"case": "compilation, or the cache of it"}, "seconds", time.perf_counter() - started)]
    schedule = f"{len(latents):,} images"
    counts = [count for count in IMAGES if count <= len(latents)]
    for count in counts:
        print(f"{count:,} images", flush=True)
        found, measured = whole_way(data, decode, latents[:count])
        rows += found
        if count == IMAGES[0] and with_peers:
            rows += beside_fasterpam(data, measured.graph)
            rows += beside_fasterpam("mixture", graphs.of_mixture(len(measured.points)).graph)
        if count == IMAGES[2]:
            rows += beside_voronoi(data, measured.graph, with_peers)
        save("medoids", rows, SEEDS, schedule)
    rows += slopes(rows) if len(counts) > 1 else []
    rows += beside_faiss(measured.points)
    save("medoids", rows, SEEDS, schedule)
    if len(latents) >= IMAGES[2]:
        rows += beside_voronoi("mixture", graphs.of_mixture(16 * IMAGES[2]).graph, False)
        save("medoids", rows, SEEDS, schedule)


if __name__ == "__main__":
    run_program(main)
