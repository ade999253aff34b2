"""What does a price on nats do to tokens: how well do they decode, and how well does a Transformer expect them?

    python -m benchmarks.entropy --run runs/generation --data-dir DIR    some minutes on two CPU cores, after the Transformer

FashionMNIST, K = 512, validation images. A Transformer over `whitened` tokens of metric means says what codes need; amortised and
joint steps then take its tokens to others, at several prices of these nats and at none. The run folder may be that of
benchmarks.generation, which has the Transformer, and trains others at a price from the middle of these. Writes
benchmarks/results/entropy.json.
"""

import dataclasses
import pathlib
from typing import Any, Literal

from benchmarks.common.record import FOLDER, file_name, save
from benchmarks.common.rows import Row
from benchmarks.generation.runs import Generation
from benchmarks.generation.schedules import SCHEDULES
from benchmarks.generation.systems import System
from benchmarks.tokenizer.systems import images_of
from train.run.command_line import parse, run_program

PRICES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""What a nat costs, squared intensity; 0: tokens by their error alone."""

COUNTS = {"amortised": 2000, "joint": 500}
"""Images for each assignment, at most."""

SEED = 0


@dataclasses.dataclass(frozen=True)
class Options:
    """How long it runs."""

    schedule: Literal["reduced", "smoke"] = "reduced"
    """reduced: two CPU cores. smoke: the digits, in a minute or two."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def measured(tokenizer: Any, images: Any, start: Any, nats: Any, assign: str) -> list[Row]:
    """Rows of the tokens that were there, and of those at each price.

    Args:
        tokenizer: With kinds of images.
        images: In [0, 1].
        start: Tokens that the Transformer was trained on.
        nats: What it expects, see `geovq.tokenizer.entropy_constrained`.
        assign: By whose steps tokens descend.
    """
    import numpy as np

    from geovq.scores import reconstruction as scores
    from geovq.tokenizer.entropy_constrained import assign_entropy_constrained
    from train.evaluation.scoring import row

    def scored(tokens: Any, **fields: Any) -> list[Row]:
        needed = np.take_along_axis(nats(tokens), tokens[..., None], axis=3).mean(axis=(1, 2, 3))
        case: Row = {"case": "tokens", "split": "validation", "steps": assign, **fields}
        return [
            row(case, "psnr", scores.psnr(images, tokenizer.decode(tokens))),
            row(case, "nats_per_token", needed),
            row(case, "changed", (tokens != start).mean(axis=(1, 2))),
        ]

    rows = scored(start, assign="whitened", price=None)
    chosen = tokenizer.replace(assign=assign)
    for price in PRICES:
        tokens = assign_entropy_constrained(chosen, images, nats, price=price, start=start)
        rows += scored(tokens, assign=assign, price=price)
    return rows


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)

    from benchmarks.generation.tables import prices_of_nats
    from geovq.tokenizer.entropy_constrained import code_nats
    from geovq.validation import check_images
    from train.evaluation.report import text_table
    from train.stages import image_tokens, networks, tokenizers
    from train.stages import inputs as stages

    schedule = SCHEDULES[options.schedule]
    run = (
        Generation(asked.folder, images_of(asked.config.data), schedule).trained(System("metric", "whitened"), SEED).run
    )
    nats, tokenizer = code_nats(networks.trained_gpt(run)), tokenizers.of_gpt(run, "amortised")
    tokens = image_tokens.load(run)["val"].reshape(-1, *tokenizer.token_shape)
    images = check_images(stages.images(run.config.data).dataset.val_images)
    rows: list[Row] = []
    for assign, count in COUNTS.items():
        of_steps = tokenizer.replace(assign=assign, probes=schedule.probes.get("joint") if assign == "joint" else None)
        rows += measured(of_steps, images[:count], tokens[:count], nats, assign)
    print(text_table(*prices_of_nats(rows)), flush=True)
    made_with = {"split": asked.config.data.split_seed, f"networks {SEED}": SEED}
    label = f"{options.schedule}: the Transformer of {run.config.gpt.epochs} epochs"
    save(file_name("entropy", options.schedule), rows, made_with, label, options.output)


if __name__ == "__main__":
    run_program(main)
