"""Does longer training change which tokens give the best images?

    python -m benchmarks.longer --run runs/longer --data-dir DIR                        two CPU cores, some hours; resumes
    python -m benchmarks.longer --run runs/longer --data-dir DIR --seeds 0 1 2          two more Transformers of each kind
    python -m benchmarks.longer --run runs/longest --data-dir DIR --schedule long       ten epochs instead of six
    python -m benchmarks.longer --run runs/smoke --output runs/smoke --schedule smoke   the digits, to try it

As benchmarks.generation, whose reduced schedule has two epochs: here `joint` tokens of metric means, Euclidean medoids and a
VQ-VAE's tokens have three times as many, and one seed. By the decoder that the codes were made for, and by one that is fine-tuned
on the tokens. The long schedule has five times as many, of `joint` tokens and the VQ-VAE's alone, and two sets of samples,
for narrower intervals. Each schedule takes a run folder of its own, for a folder holds one Transformer for each kind of tokens.

Writes benchmarks/results/longer.json and longer_samples.png; the long schedule longer_long.json and its picture; some systems
alone, other seeds alone, and the smoke schedule, files that end in _part.
"""

import dataclasses
from typing import Literal

from benchmarks.generation.schedules import SCHEDULES as USUAL
from benchmarks.generation.schedules import Extent, Schedule
from benchmarks.generation.systems import REPLICATED, check_names
from train.run.command_line import parse, run_program

SYSTEMS = {
    system.name: system
    for system in REPLICATED
    if system.decoder != "perceptual" and system.tokens in ("euclidean-euclidean", "vqvae-euclidean", "metric-joint")
}
"""The systems, by name."""

NEAREST = {name: system for name, system in SYSTEMS.items() if system.codebook != "euclidean"}
"""Those of the long schedule."""


def _longer(usual: Schedule, times: int, sets: int = 1) -> Schedule:
    """One seed, and so many times the epochs: the Transformers take half an hour each, or most of one."""
    epochs = usual.epochs._replace(usual=times * usual.epochs.usual)
    return dataclasses.replace(usual, epochs=epochs, seeds=(0,), sets=sets)


SCHEDULES = {
    "reduced": _longer(USUAL["reduced"], 3),
    "long": _longer(USUAL["reduced"], 5, sets=2),
    "smoke": _longer(USUAL["smoke"], 3, sets=2),
}
"""Of small Transformers for two CPU cores; smoke: the digits, to try it."""


@dataclasses.dataclass(frozen=True)
class Options(Extent):
    """Which systems, how long, and where to."""

    schedule: Literal["reduced", "long", "smoke"] = "reduced"
    """reduced: six epochs, two CPU cores. long: ten. smoke: the digits."""
    seeds: tuple[int, ...] = ()
    """Of the Transformers; 0 if none is given."""
    systems: tuple[str, ...] = ()
    """Only those of these names, such as metric-joint-finetuned; all of the schedule if none is given."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    known = NEAREST if options.schedule == "long" else SYSTEMS
    check_names(options.systems, known)

    from benchmarks.generation.figures import side_by_side
    from benchmarks.generation.program import measured_into
    from benchmarks.generation.tables import apart, guidance, systems

    tables = {"Samples": systems, "Guidance": guidance, "What was wanted": apart}
    path, found = measured_into("longer", "name", known, options.systems, asked, options, tables, SCHEDULES)
    side_by_side(found.pictures, path.with_name(f"{path.name}_samples.png"))


if __name__ == "__main__":
    run_program(main)
