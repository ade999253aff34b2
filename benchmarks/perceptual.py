"""What does a weight on LPIPS in the fine-tuning of a decoder win, and what does it cost in PSNR?

    python -m benchmarks.perceptual --run runs/tokenizer --data-dir DIR         ten minutes on two CPU cores; resumes

FashionMNIST, K = 512. Fine-tunes the decoder of one VAE and its metric codes once for every weight, in one pass through the
whitened tokens of the training images, and compares PSNR and LPIPS on validation images. The run folder may be the one of
benchmarks.tokenizer, whose VAE and codebooks are used again. benchmarks.generation fine-tunes for longer, also on `joint` tokens,
with a weight chosen from these, which leaves half of a budget of 0.5 dB to these differences. Writes
benchmarks/results/perceptual.json.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

from benchmarks.common.harness import FOLDER, file_name, save
from benchmarks.common.rows import Row, Table, mean_row, value_of
from benchmarks.tokenizer.systems import SIZES, Tokenizers, check_data
from train.config.options import FinetuneOptions
from train.run.command_line import parse, run_program
from train.run.folder import Run

LPIPS_WEIGHTS = (0.0, 10.0, 20.0, 40.0)
"""Squared intensity of a unit of LPIPS."""

SEED = 0


@dataclasses.dataclass(frozen=True)
class Options:
    """How long it runs."""

    size: Literal["reduced", "smoke"] = "reduced"
    """reduced: two CPU cores. smoke: the digits, in a minute."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def short(options: FinetuneOptions) -> FinetuneOptions:
    """One pass of these options."""
    return dataclasses.replace(options, assigners=("whitened",), rounds=1, epochs=(1,))


def scored(run: Run, count: int) -> list[Row]:
    """PSNR and LPIPS of validation images that one decoder reconstructs."""
    from geovq.scores import reconstruction as scores
    from geovq.validation import check_images
    from train.stages import inputs as stages
    from train.stages import tokenizers

    images = check_images(stages.images(run.config.data).dataset.val_images[:count])
    tokenizer = tokenizers.load_finetuned(run.folder)
    decoded = tokenizer.decode(tokenizer.encode(images))
    fields: Row = {
        "case": "weight",
        "lpips_weight": run.config.finetune.lpips_weight,
        "split": "validation",
        "system": "ours",
    }
    fields |= {"codebook": "finetuned", "assign": "whitened", "decoder": "finetuned", "codes": tokenizer.num_codes}
    return [
        mean_row(fields, "psnr", scores.psnr(images, decoded)),
        mean_row(fields, "lpips", scores.lpips(images, decoded)),
    ]


def table(rows: Sequence[Row]) -> Table:
    """One line for each weight, compared with none."""

    plain_psnr, plain_lpips = (value_of(rows, lpips_weight=0.0, score=score) for score in ("psnr", "lpips"))
    cells: list[list[object]] = []
    for weight in dict.fromkeys(row["lpips_weight"] for row in rows):
        psnr, lpips = (value_of(rows, lpips_weight=weight, score=score) for score in ("psnr", "lpips"))
        cells.append([weight, psnr, lpips, psnr - plain_psnr, lpips / plain_lpips])
    return ["weight", "PSNR dB", "LPIPS", "PSNR minus PSNR without, dB", "LPIPS relative to none"], cells


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    check_data(asked.config.data)

    from train.evaluation.report import text_table

    schedule = SIZES[options.size]
    tokenizers = Tokenizers(asked.folder, asked.config.data.data_dir, schedule, ())
    tuning = short(schedule.finetune)
    rows: list[Row] = []
    for weight in LPIPS_WEIGHTS:
        weighted = dataclasses.replace(tuning, lpips_weight=weight)
        made = tokenizers.ours(schedule.num_codes[0], SEED)
        run = tokenizers.tuned_otherwise(f"lpips-{weight:g}-{schedule.num_codes[0]}-{SEED}", made, weighted)
        rows += scored(run, tuning.max_val_images)
    print(text_table(*table(rows)), flush=True)
    made_with = {"split": asked.config.data.split_seed, f"networks {SEED}": SEED}
    label = f"{options.size}: one pass for each weight"
    save(file_name("perceptual", options.size), rows, made_with, label, options.output)


if __name__ == "__main__":
    run_program(main)
