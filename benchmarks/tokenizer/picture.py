"""Draws the picture of the README: test images, and what k-means, a VQ-VAE and GeoVQ make of them at the same bits.

    python -m train.vae      --preset quick --run runs/cloth --data-dir DIR --vae.epochs 10
    python -m train.codebook --run runs/cloth --data-dir DIR --codebook.codebooks kmeans metric
    python -m train.baseline --preset quick --run runs/vqvae --data-dir DIR --baseline.system vqvae --vae.epochs 10
    python -m benchmarks.tokenizer.picture --run runs/cloth --vqvae runs/vqvae --data-dir DIR

The first three commands take half an hour on two CPU cores, the last a minute. The images are the first test image of every
class, so nobody chose them. Writes benchmarks/results/reconstructions.png and prints the mean PSNR of each row.
"""

import dataclasses
import pathlib

from train.run.command_line import parse, run_program

FOLDER = pathlib.Path(__file__).parents[1] / "results"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is compared, and where the picture goes."""

    vqvae: pathlib.Path = pathlib.Path("runs/vqvae")
    """Run folder of train.baseline with a VQ-VAE."""
    per_class: int = 1
    """Test images of each class."""
    output: pathlib.Path = FOLDER
    """Folder of the picture."""


def main() -> None:
    """Draws the picture."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae", "codebook"), bound=False)

    import numpy as np

    from geovq.assignment.joint import Joint
    from geovq.assignment.nearest import Nearest
    from geovq.scores.reconstruction import psnr
    from geovq.validation import check_images
    from train.evaluation.report import save_grid
    from train.stages import inputs
    from train.stages.tokenizers import load_baseline, load_tokenizer

    data = inputs.images(run.config.data).dataset
    first = [np.flatnonzero(data.test_labels == label)[: options.per_class] for label in np.unique(data.test_labels)]
    images = check_images(data.test_images[np.concatenate(first)])
    tokenizers = {
        "k-means, nearest code": load_tokenizer(run.folder, "kmeans").replace(assigner=Nearest()),
        "VQ-VAE": load_baseline(options.vqvae, data.train_images[:200]),
        "GeoVQ, same VAE as k-means": load_tokenizer(run.folder, "metric").replace(assigner=Joint()),
    }
    rows = {"original": images}
    for name, tokenizer in tokenizers.items():
        rows[name] = tokenizer.decode(tokenizer.encode(images))
        print(f"{name}: {psnr(images, rows[name]).mean():.2f} dB", flush=True)
    print(save_grid(options.output / "reconstructions.png", rows, enlarge=4))


if __name__ == "__main__":
    run_program(main)
