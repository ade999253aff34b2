"""Does longer training change which tokens give the best images?

    python -m benchmarks.longer --run runs/longer --data-dir DIR            two CPU cores, some hours; resumes
    python -m benchmarks.longer --run runs/longer --data-dir DIR --seeds 0 1 2      two Transformers more of each kind
    python -m benchmarks.longer --run runs/smoke --output runs/smoke --schedule smoke       the digits, to try it

As benchmarks.generation, whose reduced schedule has two epochs: here `joint` tokens of metric means, Euclidean medoids and a
VQ-VAE's tokens have five times as many, and one seed. By the decoder that the codes were made for, and by one that is fine-tuned
on the tokens. Two sets of samples, for narrower intervals. Takes a run folder of its own, for a folder holds one Transformer for
each kind of tokens.

Writes benchmarks/results/longer.json and longer_samples.png; some systems alone, and the smoke schedule, write files that end in
_part.
"""

import dataclasses
from typing import Literal

from benchmarks.generation_schedules import SCHEDULES as USUAL
from benchmarks.generation_schedules import Extent
from benchmarks.generation_systems import REPLICATED, check_names
from train.cli import parse, run_program

COMPARED = {
    system.name: system
    for system in REPLICATED
    if system.decoder != "perceptual" and system.tokens in ("euclidean-euclidean", "vqvae-euclidean", "metric-joint")
}
"""The systems, by name."""

TIMES = 5
"""How many times the epochs of benchmarks.generation."""

SCHEDULES = {
    name: dataclasses.replace(
        usual,
        epochs=usual.epochs._replace(usual=TIMES * usual.epochs.usual),
        sets=2,
        seeds=(0,),
    )
    for name, usual in USUAL.items()
    if name != "full"
}
"""One seed: the Transformers take most of an hour each."""


@dataclasses.dataclass(frozen=True)
class Options(Extent):
    """Which systems, how long, and where to."""

    schedule: Literal["reduced", "smoke"] = "reduced"
    """reduced: ten epochs, two CPU cores. smoke: the digits."""
    systems: tuple[str, ...] = ()
    """Only those of these names, such as metric-joint-finetuned; all if none is given."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    check_names(options.systems, COMPARED)

    from benchmarks.generation_figures import side_by_side
    from benchmarks.generation_program import measured_into
    from benchmarks.generation_tables import apart, guidance, systems

    tables = {"Samples": systems, "Guidance": guidance, "What was wanted": apart}
    path, found = measured_into("longer", "name", COMPARED, options.systems, asked, options, tables, SCHEDULES)
    side_by_side(found.pictures, path.with_name(f"{path.name}_samples.png"))


if __name__ == "__main__":
    run_program(main)
