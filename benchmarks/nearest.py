"""How fast is the pass that finds the nearest medoid of every node, beside other ways to it?

    python -m benchmarks.nearest --run runs/quick --data-dir DIR
    python -m benchmarks.nearest --run runs/quick --data-dir DIR --images 6250    # only the smaller graph, with more peers

The first takes six minutes on two idle CPU cores; the run needs its VAE. Graphs of FashionMNIST's tokens with pullback lengths
from sketched metrics; graph libraries are compared where they are installed (pip install -e '.[peers]'). All ways must agree
before they are timed in turn. Writes benchmarks/results/nearest.json.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.common.record import save
from benchmarks.common.rows import Row
from benchmarks.common.timing import in_turn, ratio_row, seconds_row
from train.run.command_line import parse, run_program

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


def compare(graph: Any, with_libraries: bool) -> list[Row]:
    """All ways on one graph."""
    import numpy as np

    from benchmarks.medoids import libraries as medoids_nearest
    from geovq.medoids.nearest import labels_of, nearest, nearest_medoid

    medoids = np.random.default_rng(0).choice(graph.shape[0], CODES, replace=False)

    def one_pass() -> tuple[Any, Any]:
        near, distances = nearest(graph, medoids)
        return labels_of(medoids, near), distances

    truth = nearest_medoid(graph, medoids)
    for found in (one_pass(), medoids_nearest.scipy_min_only(graph, medoids)):
        np.testing.assert_array_equal(found[0], truth[0])
        np.testing.assert_array_equal(found[1], truth[1])
    some = nearest_medoid(graph, medoids[:ROWS])[1]
    np.testing.assert_array_equal(medoids_nearest.separate_rows(graph, medoids[:ROWS]), some)
    ways: dict[str, Callable[[], object]] = {
        "ours, the pass": one_pass,
        "ours, nearest_medoid with its checks": lambda: nearest_medoid(graph, medoids),
        "SciPy, min_only": lambda: medoids_nearest.scipy_min_only(graph, medoids),
        SEPARATE: lambda: medoids_nearest.separate_rows(graph, medoids[:ROWS]),
    }
    if with_libraries:
        for name, library in medoids_nearest.libraries(graph, medoids).items():
            np.testing.assert_allclose(library(), truth[1], rtol=1e-9, err_msg=name)
            ways[f"{name}, distances alone"] = library
    seconds = in_turn(ways, ROUNDS)
    seconds[SEPARATE] = [s * CODES / ROWS for s in seconds[SEPARATE]]
    rows = []
    for way in ways:
        fields: Row = {"case": "nearest medoid", "nodes": graph.shape[0], "codes": CODES, "way": way}
        rows += [seconds_row(fields, seconds[way]), ratio_row(fields, seconds[way], seconds["ours, the pass"])]
        print(
            f"{graph.shape[0]:,} nodes, {way}: {rows[-2]['value']:.3f} s, {rows[-1]['value']:.3g} times ours",
            flush=True,
        )
    return rows


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae",), bound=False)

    import numpy as np

    from benchmarks.medoids import graphs as medoids_graphs
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
        graph = medoids_graphs.of_latents(single(decode_batch), latents[:count]).graph
        rows += compare(graph, with_libraries=count == IMAGES[0])
    save("nearest", rows, {"medoids": 0}, f"{ROUNDS} rounds in turn, {len(latents):,} images")


if __name__ == "__main__":
    run_program(main)
