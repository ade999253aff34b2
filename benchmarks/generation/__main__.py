"""Which tokens give the best images, with the same Transformer and the same budget?

    python -m benchmarks.generation --run runs/generation --data-dir DIR                        two CPU cores, many hours; resumes
    python -m benchmarks.generation --run runs/generation --data-dir DIR --seeds 0 --systems metric-whitened vqvae-euclidean
    python -m benchmarks.generation --run runs/full --data-dir DIR --schedule full             for an accelerator

FashionMNIST, K = 512. Tokens of Euclidean and geodesic medoids, of metric means under several assignments, and of a VQ-VAE; of
some, the decoder fine-tuned on the tokens, without and with a price on LPIPS. 5,000 samples of each Transformer stand beside the
test images in the features of a classifier that is trained here: Fréchet and kernel distance, precision, recall, density,
coverage, class accuracy, nearest training images; and nats per token. Real validation images and reconstructions of them are the
brackets. On the reduced schedule seeds are those of the Transformers, over the tokens of one VAE and one VQ-VAE, and systems that
are not compared have the first alone.

What is complete in the run folder is not made again. Some systems or seeds alone are measured into files of their own, which end
in _part, the full schedule into those that end in _full.
Writes benchmarks/results/generation.json; generation_trade.png, how good samples are against how well tokens reconstruct and are
predicted; generation_samples.png, two samples of every class; generation_confusion.png, what classes samples are seen as;
generation_confused.png, samples of the two classes that real images are confused in most; and generation_nearest.png, those
that are nearest to training images. More samples of each class are in RUN/generation.
"""

import dataclasses

from benchmarks.generation.schedules import UsualExtent
from benchmarks.generation.systems import SYSTEMS, check_names
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options(UsualExtent):
    """Which systems, how long, and where to."""

    systems: tuple[str, ...] = ()
    """Only those of these names, such as metric-joint-finetuned; all if none is given."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    known = {system.name: system for system in SYSTEMS}
    check_names(options.systems, known)

    from benchmarks.generation.figures import confused, confusion, copies, side_by_side, trade
    from benchmarks.generation.program import measured_into
    from benchmarks.generation.tables import guidance, reached, systems

    tables = {"Samples": systems, "Guidance": guidance, "What was wanted": reached}
    path, found = measured_into("generation", "name", known, options.systems, asked, options, tables)
    rows, pictures, nearest, classes = found
    trade(rows, path.with_name(f"{path.name}_trade.png"))
    confusion(rows, classes, path.with_name(f"{path.name}_confusion.png"))
    side_by_side(pictures, path.with_name(f"{path.name}_samples.png"))
    confused(rows, pictures, classes, path.with_name(f"{path.name}_confused.png"))
    copies(nearest, path.with_name(f"{path.name}_nearest.png"))


if __name__ == "__main__":
    run_program(main)
