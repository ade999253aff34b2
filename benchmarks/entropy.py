"""What does a weight on nats do to tokens: how well do they decode, and how likely does a Transformer find them?

    python -m benchmarks.entropy --run runs/generation --data-dir DIR    some minutes on two CPU cores, after the Transformer

FashionMNIST, K = 512, validation images. A Transformer over `whitened` tokens of metric means gives the nats of every code;
amortised and joint steps then change its tokens, with several weights on these nats and with none. The run folder may be the one
of benchmarks.generation, which has the Transformer, and trains others with a weight from the middle of these. Writes
benchmarks/results/entropy.json.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

from benchmarks.common.harness import FOLDER, file_name, save
from benchmarks.common.rows import Row, Table, mean_row, select, value_of
from benchmarks.generation.runs import Generation
from benchmarks.generation.schedules import STUDIES
from benchmarks.generation.systems import System
from benchmarks.tokenizer.systems import check_data
from train.run.command_line import parse, run_program

NAT_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Squared intensity of a nat; 0: tokens by their error alone."""

COUNTS = {"amortised": 2000, "joint": 500}
"""Images for each assigner, at most."""

SEED = 0


@dataclasses.dataclass(frozen=True)
class Options:
    """How long it runs."""

    size: Literal["reduced", "smoke"] = "reduced"
    """reduced: two CPU cores. smoke: the digits, in a minute or two."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def measured(tokenizer: Any, images: Any, start: Any, nats: Any, assign: str) -> list[Row]:
    """Rows of the tokens that the descent starts from, and of the tokens with each weight.

    Args:
        tokenizer: With the assigner of the descent.
        images: In [0, 1].
        start: Tokens that the Transformer was trained on.
        nats: Of every code, see `geovq.tokenizer.entropy_constrained`.
        assign: Name of the assigner.
    """
    import numpy as np

    from geovq.scores import reconstruction as scores
    from geovq.tokenizer.entropy_constrained import assign_entropy_constrained

    def scored(tokens: Any, **fields: Any) -> list[Row]:
        needed = np.take_along_axis(nats(tokens), tokens[..., None], axis=3).mean(axis=(1, 2, 3))
        case: Row = {"case": "tokens", "split": "validation", "steps": assign, **fields}
        return [
            mean_row(case, "psnr", scores.psnr(images, tokenizer.decode(tokens))),
            mean_row(case, "nats_per_token", needed),
            mean_row(case, "changed", (tokens != start).mean(axis=(1, 2))),
        ]

    rows = scored(start, assign="whitened", nat_weight=None)
    for weight in NAT_WEIGHTS:
        tokens = assign_entropy_constrained(tokenizer, images, nats, nat_weight=weight, start=start)
        rows += scored(tokens, assign=assign, nat_weight=weight)
    return rows


def table(rows: Sequence[Row]) -> Table:
    """One line for each assigner and weight."""

    cells: list[list[object]] = []
    for steps, assign, nat_weight in dict.fromkeys((row["steps"], row["assign"], row["nat_weight"]) for row in rows):
        of = select(rows, steps=steps, assign=assign, nat_weight=nat_weight)
        found = [value_of(of, score=score) for score in ("psnr", "nats_per_token", "changed")]
        cells.append([steps if nat_weight is not None else f"(whitened, for {steps})", nat_weight, *found])
    return ["steps", "weight of a nat", "PSNR dB", "nats a token, of the prior", "tokens changed, part"], cells


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    check_data(asked.config.data)

    from geovq.assignment.joint import Joint
    from geovq.tokenizer.entropy_constrained import code_nats
    from geovq.validation import check_images
    from train.evaluation.report import text_table
    from train.stages import image_tokens, networks, tokenizers
    from train.stages import inputs as stages

    schedule = STUDIES["generation"].sizes[options.size]
    run = Generation(asked.folder, asked.config.data.data_dir, schedule).trained(System("metric", "whitened"), SEED).run
    nats, tokenizer = code_nats(networks.trained_gpt(run)), tokenizers.of_gpt(run, "amortised")
    tokens = image_tokens.load(run)["val"].reshape(-1, *tokenizer.token_shape)
    images = check_images(stages.images(run.config.data).dataset.val_images)
    rows: list[Row] = []
    for assign, count in COUNTS.items():
        joint = Joint(directions=schedule.probes.get("joint"))
        chosen = tokenizer if assign == "amortised" else tokenizer.replace(assigner=joint)
        rows += measured(chosen, images[:count], tokens[:count], nats, assign)
    print(text_table(*table(rows)), flush=True)
    made_with = {"split": asked.config.data.split_seed, f"networks {SEED}": SEED}
    label = f"{options.size}: the Transformer of {run.config.gpt.epochs} epochs"
    save(file_name("entropy", options.size), rows, made_with, label, options.output)


if __name__ == "__main__":
    run_program(main)
