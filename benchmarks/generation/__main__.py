"""Which tokens give the best images, with the same Transformer and the same budget? And how predictable are they?

    python -m benchmarks.generation --run runs/generation --data-dir DIR                      two CPU cores, many hours; resumes
    python -m benchmarks.generation --run runs/generation --data-dir DIR --seeds 0 --systems metric-whitened vqvae-euclidean
    python -m benchmarks.generation --run runs/full --data-dir DIR --size full                for an accelerator
    python -m benchmarks.generation --run runs/smoke --output runs/smoke --size smoke         the digits, to try it
    python -m benchmarks.generation --run runs/longer --data-dir DIR --schedule longer        three times the epochs
    python -m benchmarks.generation --run runs/longest --data-dir DIR --schedule longest      five times the epochs
    python -m benchmarks.generation --run runs/generation --data-dir DIR --schedule study --systems 1 3
    python -m benchmarks.generation --run runs/likelihood --data-dir DIR --schedule likelihood

FashionMNIST, K = 512. The schedules:
- generation: tokens of Euclidean and geodesic medoids, of metric means with several assignments, and of a VQ-VAE; for some, the
  decoder is fine-tuned on the tokens, with and without a weight on LPIPS. 5,000 samples of each Transformer are compared with the
  test images in the features of a classifier that is trained here: Fréchet and kernel distance, precision, recall, density,
  coverage, class accuracy, nearest training images; and nats per token. Real validation images and their reconstructions are the
  ends of the scale.
- longer, longest: does longer training change the order? Six and ten epochs instead of two, one seed.
- study: the original study's three experiments, its own next steps, and sharper textures. One table has the original columns
  (samples compared with unrelated test images, errors in the unit of each), the other has ours.
- likelihood: nats of a token for every codebook and every assignment, and for VAEs that carry more bits; no samples.

At the reduced size the seeds are Transformers over the tokens of one VAE and one VQ-VAE, and systems that are not compared have
the first seed alone. generation and study share a run folder; longer, longest and likelihood need folders of their own, since a
folder holds one Transformer for each system and seed. What is complete in the run folder is not made again.

Writes benchmarks/results/generation.json, longer.json, longer_long.json (longest), study.json or likelihood.json, and pictures
beside them. Some systems or seeds alone go to a file that ends in _part, the full size to one that ends in _full. More samples of
each class are in RUN/generation.
"""

import dataclasses
import pathlib

from benchmarks.common.harness import FOLDER
from benchmarks.generation.schedules import STUDIES, ScheduleName
from benchmarks.tokenizer.systems import Size, check_data
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which systems, how long, and where to."""

    schedule: ScheduleName = "generation"
    """Which systems are trained for how many epochs; see above."""
    size: Size = "reduced"
    """reduced: two CPU cores. full: an accelerator. smoke: the digits, to try it."""
    systems: tuple[str, ...] = ()
    """Only these systems, such as metric-joint-finetuned, or the numbers of experiments; all if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    check_data(asked.config.data)
    study = STUDIES[options.schedule]
    study.at(options.size, options.systems)

    from benchmarks.generation.figures import draw
    from benchmarks.generation.measure import Asked, run_study
    from benchmarks.generation.tables import PRINTED

    wanted = Asked(options.size, options.systems, options.seeds, options.output)
    path, found = run_study(study, wanted, asked.folder, asked.config.data, PRINTED[options.schedule])
    draw(options.schedule, path, found)


if __name__ == "__main__":
    run_program(main)
