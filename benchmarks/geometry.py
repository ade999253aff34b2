"""How accurate are the edge lengths, the distances and the single metrics that a measured geometry is built on?

    python -m benchmarks.geometry --run runs/quick --data-dir DIR
    python -m benchmarks.geometry --run runs/quick --data-dir DIR --parts frames

Ten minutes on two CPU cores, and as many for `frames`; the run needs its VAE, and nothing is written to it. Four studies, by
--parts: `edges`, edge lengths from cached metrics compared with decoded polylines, and the effect of refining them; `distances`,
those in the graph compared with continuous geodesics, by the number of neighbours k and of points n; `variance`, the parts of a
metric's variance that come from the token, its context and its position; `frames`, tokens along graphs whose neighbours are near
in latents, or near by the mean metric. Writes benchmarks/results/geometry.json, or geometry_PARTS.json.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

from benchmarks.common.harness import save
from benchmarks.common.rows import Row
from train.run.command_line import parse, run_program

Part = Literal["variance", "edges", "distances", "frames"]
PARTS: tuple[Part, ...] = get_args(Part)

SEED = 0
MEASURED_IMAGES = 1_000
ENCODED_IMAGES = 14_000
"""Of the training set: enough for the distinct tokens that the distances need at one position."""
SCORED_IMAGES = 1_000
"""Of the validation set, whose tokens are found along graphs of other neighbours."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of this benchmark."""

    parts: tuple[Part, ...] = PARTS
    """Studies; some of them alone write a file of their own."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the measured images and the codes of `frames`."""


def tables(rows: Sequence[Row]) -> str:
    """For people: one table a case, what identifies a number on the left."""
    from train.evaluation.report import text_table

    numbers = ("score", "value", "low", "high", "n")
    parts = []
    for case in dict.fromkeys(row["case"] for row in rows):
        of = [row for row in rows if row["case"] == case]
        names = [name for name in dict.fromkeys(name for row in of for name in row) if name not in ("case", *numbers)]
        columns = [*names, *numbers]
        parts.append(f"{case}\n" + text_table(columns, [[row.get(name) for name in columns] for row in of]))
    return "\n\n".join(parts)


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae",), bound=False)

    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.geometry.measured import draw
    from geovq.metric.batched import token_metrics
    from geovq.models.spatial_vae import callables
    from geovq.validation import check_images
    from train.stages import inputs as stages
    from train.stages import networks

    dataset = stages.images(run.config.data).dataset
    images = check_images(draw(dataset.train_images, ENCODED_IMAGES, SEED))
    encode, decode_batch = callables(networks.trained_vae(run, images.shape[1:]))
    decode, latents = single(decode_batch), encode_images(encode, images)
    rows: list[Row] = []
    if {"variance", "edges"} & {*options.parts}:
        grids = latents[:MEASURED_IMAGES]
        metrics = token_metrics(decode, grids)
        print(f"metrics of the tokens of {len(grids)} images", flush=True)
    if "variance" in options.parts:
        from benchmarks.metric.edges import study_variance

        rows += study_variance(decode, latents, metrics, SEED)
    if "edges" in options.parts:
        from benchmarks.metric.edges import study_edges

        rows += study_edges(decode, grids, metrics, SEED)
    if "distances" in options.parts:
        from benchmarks.metric.distances import study_distances

        rows += study_distances(decode, latents, SEED)
    if "frames" in options.parts:
        from benchmarks.metric.frames import study_frames

        scored = check_images(dataset.val_images[:SCORED_IMAGES])
        rows += study_frames((encode, decode_batch), images, scored, options.seeds)
    print(tables(rows))
    config = run.config
    seeds = {"split": config.data.split_seed, "vae": config.vae.seed, "studies": SEED}
    parts = [part for part in PARTS if part in options.parts]
    name = "geometry" if len(parts) == len(PARTS) else "geometry_" + "_".join(parts)
    seeds |= (
        {f"frames {number}": seed for number, seed in enumerate(options.seeds)} if "frames" in options.parts else {}
    )
    save(name, rows, seeds, f"{config.vae.epochs} epochs of the VAE")


if __name__ == "__main__":
    run_program(main)
