"""Is a tokenizer made after training better than a VQ-VAE trained end to end, with the same networks, bits and epochs?

    python -m benchmarks.tokenizer --run runs/tokenizer --data-dir DIR                        five hours on two CPU cores; resumes
    python -m benchmarks.tokenizer --run runs/tokenizer-full --data-dir DIR --size full       all test images, for an accelerator
    python -m benchmarks.tokenizer --run runs/tokenizer --data-dir DIR --num-codes 512 --seeds 0   a part, to tokenizer_part.json

FashionMNIST, K = 512 and 1024, three seeds of all networks. Every codebook with every assignment in every measure; the VAE with
and without its posterior's noise; decoders fine-tuned on tokens; two codes a token; VQ-VAE and FSQ trained end to end, also with
our assignments; random Gaussian codes. Nothing is chosen on the test images. What is complete in the run folder is not made
again. Fine-tuning comes on top of the epochs that all networks have: three more, and eight on 8,000 images, for a VQ-VAE too.
Writes benchmarks/results/tokenizer.json and tokenizer_ladder.png; the full size writes tokenizer_full.json and its picture; a
part of the study, and the smoke size, write tokenizer_part.json and its picture.
"""

import dataclasses
import pathlib

from benchmarks.common.harness import FOLDER, file_name, save
from benchmarks.tokenizer.systems import LEVELS, PARTS, SIZES, Part, Size, Tokenizers, check_data
from geovq.validation import InputError, check_whole
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Options:
    """Which part of the study, and how long it runs."""

    size: Size = "reduced"
    """reduced: 2,000 test images, two CPU cores. full: all test images. smoke: the digits, in a minute or two."""
    num_codes: tuple[int, ...] = ()
    """Only these K; all of the size if none is given."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the size if none is given."""
    parts: tuple[Part, ...] = PARTS
    """Which systems: vqvae, finetuned, frozen, several (codes a token), gaussian, fsq. The continuous VAE always is."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    check_data(asked.config.data)
    for seed in options.seeds:
        check_whole("seeds", seed, 0)
    unknown = [k for k in options.num_codes if k not in LEVELS]
    if unknown and "fsq" in options.parts:
        raise InputError(
            f"num_codes: expected some of {', '.join(map(str, LEVELS))}, for which FSQ has levels, found {unknown[0]}; leave fsq "
            "out of --parts, or add its levels to benchmarks/tokenizer/systems.py."
        )

    from benchmarks.tokenizer.cells import all_cells, semantics
    from benchmarks.tokenizer.rows import comparisons, probes_of, rows_of
    from benchmarks.tokenizer.tables import draw_ladder

    schedule = SIZES[options.size]
    schedule = dataclasses.replace(
        schedule, num_codes=options.num_codes or schedule.num_codes, seeds=options.seeds or schedule.seeds
    )
    tokenizers = Tokenizers(asked.folder, asked.config.data.data_dir, schedule, options.parts)
    found = all_cells(tokenizers)
    rows = [row for case, cells in found.items() for row in rows_of(case, cells, probes_of(case, schedule))]
    for k in schedule.num_codes:
        rows += comparisons(found, k)
        rows += semantics(tokenizers, found, k) if "frozen" in options.parts else []
    split = asked.config.data.split_seed
    label = (
        f"{options.size}: {schedule.epochs} epochs of every network, fine-tuning on top, "
        f"{schedule.images:,} test images"
    )
    whole = not options.num_codes and not options.seeds and options.parts == PARTS
    name = file_name("tokenizer", options.size, whole)
    save(
        name,
        rows,
        {"split": split, **{f"networks {seed}": seed for seed in schedule.seeds}},
        label,
        options.output,
    )
    draw_ladder(rows, options.output / f"{name}_ladder.png")


if __name__ == "__main__":
    run_program(main)
