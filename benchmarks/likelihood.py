"""How predictable are tokens: of every codebook, under every assignment, and of VAEs that carry more?

    python -m benchmarks.likelihood --run runs/likelihood --data-dir DIR                    two CPU cores, some hours; resumes
    python -m benchmarks.likelihood --run runs/likelihood --data-dir DIR --cases refined-whitened metric-local
    python -m benchmarks.likelihood --run runs/likelihood-full --data-dir DIR --schedule full  for an accelerator

FashionMNIST, K = 512. The same Transformer and the same batches of images, on the tokens of each kind: of every codebook under
`whitened` assignment, and of metric means under every assignment that the schedule has time for, all of a VAE whose bits are
held at those of a code; then of metric means of VAEs whose β is fixed instead, and lower; and of the best of these on validation
images once more, trained for longer and on all images. Nats of a validation and a test token, overall and by position, beside
those of models that know frequencies; and how well the tokens reconstruct, of the last also by a decoder that is fine-tuned on
them.

Writes benchmarks/results/likelihood.json; the full schedule likelihood_full.json; some cases alone, and the smoke schedule,
likelihood_part.json.
"""

import dataclasses
import pathlib
from typing import Any, Literal, NamedTuple, get_args

from benchmarks.common.record import FOLDER, file_name, save
from benchmarks.common.rows import Row
from benchmarks.tokenizer.systems import CODEBOOKS, Tokenizers, begun_as, images_of
from benchmarks.tokenizer.systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer.systems import Schedule as TokenizerSchedule
from geovq.codebook.names import CodebookName
from geovq.validation import InputError
from train.config.names import AssignerName
from train.config.options import PRESETS, FinetuneOptions, GPTOptions, tokenizer_stages
from train.run.command_line import parse, run_program
from train.run.folder import Run

VARIANCES = (0.005, 0.002)
"""β of VAEs whose bits are not held."""

CHOSEN = 0.002
"""That whose Transformer saves the largest part of what frequencies need, on validation images and the reduced schedule."""

SEED = 0


class Case(NamedTuple):
    """A kind of tokens, and how long their Transformer is trained."""

    codebook: CodebookName
    assign: AssignerName
    noise_variance: float | None = None
    """The VAE's β; None: its bits are held."""
    long: bool = False

    @property
    def name(self) -> str:
        """Of its rows."""
        parts: list[str] = [self.codebook, self.assign]
        parts += [] if self.noise_variance is None else [f"{self.noise_variance:g}"]
        return "-".join([*parts, "long"] if self.long else parts)


CASES = (
    *(Case(codebook, "whitened") for codebook in CODEBOOKS),
    *(Case("metric", assign) for assign in get_args(AssignerName) if assign != "whitened"),
    *(Case("metric", "whitened", variance) for variance in VARIANCES),
    Case("metric", "whitened", CHOSEN, long=True),
)
"""All of them."""


class Schedule(NamedTuple):
    """How long and how much."""

    tokenizer: TokenizerSchedule
    gpt: GPTOptions
    """Of all Transformers but the long one."""
    long: GPTOptions
    probes: dict[AssignerName, int]
    """Products that a Jacobian is sketched by, where an assignment is not given whole ones."""
    codes: int
    left_out: tuple[AssignerName, ...] = ()
    """Assignments that take too long."""


_USUAL = GPTOptions(start="codes", average=0.999, patience=0, batch_size=64, dropout=0.0)

_TUNING = FinetuneOptions(codebook="metric", rounds=1, epochs=(2,), max_val_images=1000)

SCHEDULES = {
    "reduced": Schedule(
        tokenizer=dataclasses.replace(TOKENIZER_SCHEDULES["reduced"], epochs=8, finetune=_TUNING),
        gpt=dataclasses.replace(_USUAL, max_images=15_000, epochs=3),
        long=dataclasses.replace(_USUAL, epochs=6),
        probes={"local": 64, "joint": 96},
        codes=512,
        left_out=("geodesic", "greedy"),
    ),
    "full": Schedule(
        tokenizer=dataclasses.replace(TOKENIZER_SCHEDULES["full"], finetune=dataclasses.replace(_TUNING, epochs=(6,))),
        gpt=dataclasses.replace(_USUAL, dropout=GPTOptions.dropout, epochs=20),
        long=dataclasses.replace(_USUAL, dropout=GPTOptions.dropout, epochs=100),
        probes={},
        codes=512,
    ),
    "smoke": Schedule(
        tokenizer=dataclasses.replace(
            TOKENIZER_SCHEDULES["smoke"], finetune=dataclasses.replace(_TUNING, epochs=(1,), batch_size=64)
        ),
        gpt=dataclasses.replace(PRESETS["demo"].gpt, epochs=1, max_images=200, patience=0),
        long=dataclasses.replace(PRESETS["demo"].gpt, epochs=2, patience=0),
        probes={"geodesic": 4, "joint": 4},
        codes=16,
        left_out=("greedy",),
    ),
}
"""reduced: two CPU cores. full: for an accelerator. smoke: the digits, to try it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Which cases, how long, and where to."""

    cases: tuple[str, ...] = ()
    """Only those of these names, such as metric-joint; all of the schedule if none is given."""
    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: two CPU cores, neither `geodesic` nor `decoded` tokens. full: an accelerator. smoke: the digits."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


def tokenizers_of(folder: pathlib.Path, data_dir: str | None, case: Case, schedule: Schedule) -> Tokenizers:
    """The VAE of a case and its codebooks."""
    held = case.noise_variance is None
    codebook = dataclasses.replace(schedule.tokenizer.codebook, codebooks=CODEBOOKS if held else (case.codebook,))
    return Tokenizers(
        folder / ("held" if held else f"beta-{case.noise_variance:g}"),
        data_dir,
        dataclasses.replace(schedule.tokenizer, codebook=codebook),
        (),
        case.noise_variance,
    )


def trained(folder: pathlib.Path, data_dir: str | None, case: Case, schedule: Schedule) -> tuple[Run, Run | None]:
    """The run of a case's Transformer; if it is long, one with a decoder that is fine-tuned on its tokens, too."""
    from train.stages import gpt

    tokenizers = tokenizers_of(folder, data_dir, case, schedule)
    made = tokenizers.ours(schedule.codes, SEED)
    run = Run(folder / f"gpt-{case.name}", dataclasses.replace(made.config, gpt=options_of(case, schedule)))
    begun_as(made, run, tokenizer_stages(run.config))
    gpt.run(run)
    if not case.long:
        return run, None
    return run, tokenizers.tuned_otherwise(f"finetuned-{SEED}", made, schedule.tokenizer.finetune, run)


def options_of(case: Case, schedule: Schedule) -> GPTOptions:
    """Of a case's Transformer."""
    return dataclasses.replace(
        schedule.long if case.long else schedule.gpt,
        codebook=case.codebook,
        assigner=case.assign,
        probes=schedule.probes.get(case.assign, 0),
        seed=SEED,
    )


def measured(run: Run, tuned: Run | None = None) -> list[Row]:
    """Nats of a token of the validation and the test images, and the PSNR of what the latter become.

    Args:
        run: With the tokens and the Transformer.
        tuned: With a decoder that was fine-tuned on these tokens.
    """
    from benchmarks.generation.cells import likelihood
    from geovq.scores.reconstruction import psnr
    from geovq.validation import check_images
    from train.evaluation.scoring import row
    from train.stages import image_tokens, tokenizers
    from train.stages import inputs as stages

    rows = [{"split": "validation", **found} for found in likelihood(run, "val")] + likelihood(run, "test")
    images = check_images(stages.images(run.config.data).dataset.test_images)
    decoders = {"frozen": tokenizers.of_gpt(run, "euclidean")}  # decoding is the same for all assignments
    decoders |= {} if tuned is None else {"finetuned": tokenizers.load_finetuned(tuned.folder)}
    tokens = image_tokens.load(run)["test"].reshape(-1, *run.config.vae.grid)
    for name, tokenizer in decoders.items():
        rows.append(row({"case": "reconstructions", "decoder": name}, "psnr", psnr(images, tokenizer.decode(tokens))))
    return [{"split": "test", **found} for found in rows]


def fields(case: Case, options: GPTOptions, images: int) -> dict[str, Any]:
    """What the rows of a case say of it."""
    return {
        "transformer": case.name,
        "codebook": case.codebook,
        "assign": case.assign,
        "noise_variance": case.noise_variance,
        "epochs": options.epochs,
        "images": images,
        "seed": SEED,
    }


def main() -> None:
    """Runs the benchmark."""
    asked, options = parse(__doc__, ("data",), Options(), bound=False)
    schedule = SCHEDULES[options.schedule]
    known = {case.name: case for case in CASES if case.assign not in schedule.left_out}
    if unknown := [name for name in options.cases if name not in known]:
        raise InputError(f"cases: expected some of {', '.join(known)}, found {unknown[0]!r}; change --cases.")

    from benchmarks.generation.likelihood_tables import kinds
    from train.evaluation.report import text_table
    from train.stages import image_tokens

    rows: list[Row] = []
    for name, case in known.items():
        if name in options.cases or not options.cases:
            run, tuned = trained(asked.folder, images_of(asked.config.data), case, schedule)
            of = fields(case, run.config.gpt, len(image_tokens.load(run)["train"]))
            rows += [of | row for row in measured(run, tuned)]
    print(text_table(*kinds(rows)), flush=True)
    name = file_name("likelihood", options.schedule, set(options.cases) in (set(), {*known}))
    split, codebook = asked.config.data.split_seed, schedule.tokenizer.codebook.seed
    seeds = {"split": split, "codebook": codebook, f"networks {SEED}": SEED}
    label = f"{options.schedule}: VAEs of {schedule.tokenizer.epochs} epochs"
    save(name, rows, seeds, label, options.output)


if __name__ == "__main__":
    run_program(main)
