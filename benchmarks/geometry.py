"""How accurate are the edge lengths, the distances and the single metrics that a measured geometry is built on?

    python -m benchmarks.geometry --run runs/quick --data-dir DIR

Ten minutes on two CPU cores; the run needs its VAE, and nothing is written to it. Three studies: edge lengths from cached metrics
compared with decoded polylines, and the effect of refining them; distances in the graph compared with continuous geodesics, by
the number of neighbours k and of points n; and the parts of a metric's variance that come from the token, its context and its
position. Writes benchmarks/results/geometry.json.
"""

from collections.abc import Sequence

from benchmarks.common.harness import save
from benchmarks.common.rows import Row
from train.run.command_line import NoExtra, parse, run_program

SEED = 0
MEASURED_IMAGES = 1_000
ENCODED_IMAGES = 14_000
"""Of the training set: enough for the distinct tokens that the distances need at one position."""


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
    run, _ = parse(__doc__, ("data",), NoExtra(), needs=("vae",), bound=False)

    from benchmarks.metric.distances import study_distances
    from benchmarks.metric.edges import study_edges, study_variance
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.geometry.measured import draw
    from geovq.metric.batched import token_metrics
    from geovq.models.spatial_vae import callables
    from geovq.validation import check_images
    from train.stages import inputs as stages
    from train.stages import networks

    images = draw(stages.images(run.config.data).dataset.train_images, ENCODED_IMAGES, SEED)
    encode, decode_batch = callables(networks.trained_vae(run, images.shape[1:]))
    decode, latents = single(decode_batch), encode_images(encode, check_images(images))
    grids = latents[:MEASURED_IMAGES]
    metrics = token_metrics(decode, grids)
    print(f"metrics of the tokens of {len(grids)} images", flush=True)
    rows = [
        *study_variance(decode, latents, metrics, SEED),
        *study_edges(decode, grids, metrics, SEED),
        *study_distances(decode, latents, SEED),
    ]
    print(tables(rows))
    config = run.config
    seeds = {"split": config.data.split_seed, "vae": config.vae.seed, "studies": SEED}
    save("geometry", rows, seeds, f"{config.vae.epochs} epochs of the VAE")


if __name__ == "__main__":
    run_program(main)
