"""How fast is each assignment, and what does it win? Images a second beside PSNR.

    python -m benchmarks.encoding --run runs/tokenizer/ours-512-0 --data-dir DIR

Ten minutes on two idle CPU cores. The run needs its VAE and its codebooks (train.codebook). All ways have a turn in each round,
on the same test images, after each has given the same tokens twice; encoding is part of each. Writes
benchmarks/results/encoding.json and encoding.png.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from benchmarks.common.harness import FOLDER, in_turn, save
from benchmarks.common.rows import Row, mean_row, ratio_row, row
from geovq.codebook.names import CodebookName
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """On what it is measured."""

    codebook: CodebookName = "refined"
    """The codebook of the run whose codes are assigned."""
    images: int = 256
    """Test images."""
    rounds: int = 5
    """Turns of every way."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


SKETCHES = (64, 80, 96)
"""Directions of sketched `joint`."""

REPEATED = 16
"""Times that cheap ways go over the images in a turn, so that a turn is not too short to be timed."""


CLOSE_ROUNDS = 15
"""Turns of cheap ways and the encoder alone, beside which they differ by little."""


def draw(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws PSNR over images a second, without ways that are more than 5 dB below the VAE.

    Args:
        rows: Of this benchmark.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    of = {
        score: {row.get("assign"): row["value"] for row in rows if row["score"] == score}
        for score in ("psnr", "images_per_second")
    }
    figure, axis = pyplot.subplots(figsize=(7, 4))
    for name, value in of["images_per_second"].items():
        if of["psnr"].get(name, 0) > of["psnr"][None] - 5:
            axis.plot(value, of["psnr"][name], "o", label=str(name))
    axis.axhline(of["psnr"][None], color="black", linewidth=1, label="continuous VAE")
    axis.set_xscale("log")
    axis.set_xlabel("images a second, encoder included")
    axis.set_ylabel("PSNR, dB")
    axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae", "codebook"), bound=False)

    import jax
    import numpy as np

    from benchmarks.tokenizer.cells import TestImages
    from geovq.assignment import Amortised, Greedy, Joint, Local, Nearest, Whitened
    from geovq.decoder.autoencoder import encode_images
    from geovq.models.spatial_vae import callables
    from geovq.scores.reconstruction import psnr
    from train.evaluation.report import text_table
    from train.stages import inputs, networks, tokenizers

    test = TestImages.drawn(run, options.images)
    base = tokenizers.of_codebook(run, options.codebook, "whitened")
    encode, decode = callables(networks.trained_vae(run, test.images.shape[1:]))
    many = np.tile(test.images, (REPEATED, 1, 1, 1))
    assigners = {
        "euclidean": Nearest(),
        "whitened": Whitened(),
        "whitened-position": Whitened(per_position=True),
        "local": Local(),
        "amortised": Amortised(),
        **{f"joint, {directions} directions": Joint(directions=directions) for directions in SKETCHES},
        "joint": Joint(),
        "greedy": Greedy(),
    }
    training = inputs.images(run.config.data).dataset.train_images
    assigning = {name: base.replace(assigner=assigner, images=training) for name, assigner in assigners.items()}
    cheap = ("euclidean", "whitened", "whitened-position", "amortised")
    batches = {name: many if name in cheap else test.images for name in assigning}
    ways = {"encoder": lambda: encode_images(encode, many)}
    ways |= {name: lambda name=name: assigning[name].encode(batches[name]) for name in assigning}  # type: ignore[misc]
    rows: list[Row] = []
    fields: Row = {"case": "assignment", "system": "ours", "codebook": options.codebook, "decoder": "frozen"}
    for name, tokenizer in assigning.items():
        first, again = (tokenizer.encode(test.images) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        rows.append(mean_row(fields | {"assign": name}, "psnr", psnr(test.images, tokenizer.decode(first))))
    continuous = np.clip(np.asarray(jax.block_until_ready(decode(encode(test.images)))), 0, 1)
    rows.append(mean_row({"case": "continuous", "system": "vae"}, "psnr", psnr(test.images, continuous)))
    beside_encoder = in_turn({name: ways[name] for name in ("encoder", *cheap)}, CLOSE_ROUNDS)
    seconds = in_turn(ways, options.rounds)
    per_image = {
        name: [s / (len(many) if name in beside_encoder else options.images) for s in turns]
        for name, turns in seconds.items()
    }
    for name, turns in per_image.items():
        case = fields | {"assign": name}
        close = beside_encoder.get(name)
        rows.append(row(case, "images_per_second", 1 / float(np.median(turns)), n=options.images))
        pair = (turns, per_image["encoder"]) if close is None else (close, beside_encoder["encoder"])
        rows.append(ratio_row(case | {"peer": "encoder"}, *pair))
        rows.append(ratio_row(case | {"peer": "joint"}, turns, per_image["joint"]))
    speeds = {r["assign"]: r["value"] for r in rows if r["score"] == "images_per_second"}
    quality = {r.get("assign"): r["value"] for r in rows if r["score"] == "psnr"}
    print(text_table(["assign", "images a second", "PSNR dB"], [[a, s, quality.get(a)] for a, s in speeds.items()]))
    seeds = {"vae": run.config.vae.seed, "codebook": run.config.codebook.seed}
    save("encoding", rows, seeds, f"{options.rounds} rounds in turn, {options.images} images", options.output)
    draw(rows, options.output / "encoding.png")


if __name__ == "__main__":
    run_program(main)
