"""Is a tokenizer made after training better than a VQ-VAE trained end to end, with the same networks, bits and epochs?

    python -m benchmarks.tokenizer --run runs/tokenizer --data-dir DIR                        five hours on two CPU cores; resumes
    python -m benchmarks.tokenizer --run runs/tokenizer-full --data-dir DIR --schedule full    all test images, for an accelerator
    python -m benchmarks.tokenizer --run runs/tokenizer --data-dir DIR --codes 512 --seeds 0  a part of it, to tokenizer_part.json

FashionMNIST, K = 512 and 1024, three seeds of all networks. Every codebook with every assignment in every measure; the VAE with
and without its posterior's noise; decoders fine-tuned on tokens; two codes a token; VQ-VAE and FSQ trained end to end, also with
our assignments; random Gaussian codes. Nothing is chosen on the test images. All that is complete in the run folder is used
again. Fine-tuning comes on top of the epochs that all have: another three, and eight of 8,000 images; a VQ-VAE has it, too.
Writes benchmarks/results/tokenizer.json and tokenizer_ladder.png; the full schedule writes tokenizer_full.json and its figure, a
part of the study, and the smoke schedule, tokenizer_part.json and its figure.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.common.record import FOLDER, file_name, save
from benchmarks.tokenizer.systems import LEVELS, PARTS, SCHEDULES, Part, Tokenizers, images_of
from geovq.validation import InputError, check_whole
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which part of the study, and how long it runs."""

    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: 2,000 test images, two CPU cores. full: all test images. smoke: the digits, in a minute or two."""
    codes: tuple[int, ...] = ()
    """Only these K; all of the schedule if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    parts: tuple[Part, ...] = PARTS
    """Which systems: vqvae, finetuned, frozen, several (codes a token), gaussian, fsq. The continuous VAE always is."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    unknown = [k for k in options.codes if k not in LEVELS]
    if unknown and "fsq" in options.parts:
        raise InputError(
            f"codes: expected some of {', '.join(map(str, LEVELS))}, for which FSQ has levels, found {unknown[0]}; leave fsq "
            "out of --parts, or add its levels to benchmarks/tokenizer_systems.py."
        )

    from benchmarks.tokenizer.cases import all_cells, probes_of, semantics
    from benchmarks.tokenizer.figures import ladder
    from benchmarks.tokenizer.rows import comparisons, rows_of

    for seed in options.seeds:
        check_whole("seeds", seed, 0)
    schedule = SCHEDULES[options.schedule]
    schedule = dataclasses.replace(
        schedule, codes=options.codes or schedule.codes, seeds=options.seeds or schedule.seeds
    )
    tokenizers = Tokenizers(asked.folder, images_of(asked.config.data), schedule, options.parts)
    found = all_cells(tokenizers)
    rows = [row for case, cells in found.items() for row in rows_of(case, cells, probes_of(case, schedule))]
    for k in schedule.codes:
        rows += comparisons(found, k)
        rows += semantics(tokenizers, found, k) if "frozen" in options.parts else []
    split = asked.config.data.split_seed
    label = (
        f"{options.schedule}: {schedule.epochs} epochs of every network, fine-tuning on top, "
        f"{schedule.images:,} test images"
    )
    whole = not options.codes and not options.seeds and options.parts == PARTS
    name = file_name("tokenizer", options.schedule, whole)
    save(
        name,
        rows,
        {"split": split, **{f"networks {seed}": seed for seed in schedule.seeds}},
        label,
        options.output,
    )
    ladder(rows, options.output / f"{name}_ladder.png")


if __name__ == "__main__":
    run_program(main)
