"""What does a price on LPIPS in the fine-tuning of a decoder buy, and what does it cost in PSNR?

    python -m benchmarks.lpips_weight --run runs/tokenizer --data-dir DIR         ten minutes on two CPU cores; resumes

FashionMNIST, K = 512. Fine-tunes the decoder of one VAE and its metric codes once for every price, in one pass through
the whitened tokens of the training images, and compares PSNR and LPIPS on validation images. The run folder may be that of
benchmarks.tokenizer, whose VAE and codebooks are used again. benchmarks.generation fine-tunes for longer and on `joint` tokens,
too, at a price that was chosen from these and leaves half of a budget of 0.5 dB to what differs there. Writes
benchmarks/results/perceptual.json.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.common.record import FOLDER, file_name, save
from benchmarks.common.rows import Row
from benchmarks.tokenizer.systems import SCHEDULES, Tokenizers, images_of
from train.config.options import FinetuneOptions
from train.run.command_line import parse, run_program
from train.run.folder import Run

PRICES = (0.0, 10.0, 20.0, 40.0)
"""What a unit of LPIPS costs, in squared intensity."""

SEED = 0


@dataclasses.dataclass(frozen=True)
class Options:
    """How long it runs."""

    schedule: Literal["reduced", "smoke"] = "reduced"
    """reduced: two CPU cores. smoke: the digits, in a minute."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def short(options: FinetuneOptions) -> FinetuneOptions:
    """One pass of these options."""
    return dataclasses.replace(options, assigners=("whitened",), rounds=1, epochs=(1,))


def scored(run: Run, count: int) -> list[Row]:
    """The validation images beside their reconstructions by one decoder."""
    from geovq.scores import reconstruction as scores
    from geovq.validation import check_images
    from train.evaluation.scoring import row
    from train.stages import inputs as stages
    from train.stages import tokenizers

    images = check_images(stages.images(run.config.data).dataset.val_images[:count])
    tokenizer = tokenizers.load_finetuned(run.folder)
    decoded = tokenizer.decode(tokenizer.encode(images))
    fields: Row = {"case": "price", "price": run.config.finetune.lpips_weight, "split": "validation", "system": "ours"}
    fields |= {"codebook": "finetuned", "assign": "whitened", "decoder": "finetuned", "codes": tokenizer.k}
    return [row(fields, "psnr", scores.psnr(images, decoded)), row(fields, "lpips", scores.lpips(images, decoded))]


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)

    from benchmarks.generation.tables import prices
    from train.evaluation.report import text_table

    schedule = SCHEDULES[options.schedule]
    tokenizers = Tokenizers(asked.folder, images_of(asked.config.data), schedule, ())
    tuning = short(schedule.finetune)
    rows: list[Row] = []
    for price in PRICES:
        priced = dataclasses.replace(tuning, lpips_weight=price)
        made = tokenizers.ours(schedule.codes[0], SEED)
        run = tokenizers.tuned_otherwise(f"price-{price:g}-{schedule.codes[0]}-{SEED}", made, priced)
        rows += scored(run, tuning.max_val_images)
    print(text_table(*prices(rows)), flush=True)
    made_with = {"split": asked.config.data.split_seed, f"networks {SEED}": SEED}
    label = f"{options.schedule}: one pass for each price"
    save(file_name("perceptual", options.schedule), rows, made_with, label, options.output)


if __name__ == "__main__":
    run_program(main)
