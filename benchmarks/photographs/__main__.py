"""What is the geometry worth on autoencoders that nobody here trained? Published ones, photographs, and rivals at the same bits.

    python -m benchmarks.photographs --autoencoders DIR --photographs DIR --run runs/rivals              eight hours on two cores
    python -m benchmarks.photographs ... --run runs/full --schedule full                 an accelerator; whole images, three seeds
    python -m benchmarks.photographs ... --run runs/smoke --schedule smoke --rivals uniform               minutes, to try it

The first folder has taesd_encoder.safetensors and so on, the second bsds500/train, to which codes are fitted, bsds500/val, by
which choices are made and code frequencies counted, and kodak, on which all is reported. Every image under every system is a file
in --run and is not computed again: start the same command again after a break, and choose another folder after a change of the
code. --finetuned NAME=RUN/finetune/tokenizer.npz scores what train.finetune made of TAESD's codes of seed 0, beside them.
faiss (pip install faiss-cpu) is one of the rivals; without it, leave out its two systems, beam and lsq, with --rivals.
Writes benchmarks/results/photographs.json, and photographs_finetuned.json if there are such.
"""

import argparse
import importlib.util
import pathlib
from collections.abc import Sequence
from typing import get_args

from benchmarks.common.harness import FOLDER, captioned, file_name, markdown, save
from benchmarks.common.rows import select
from benchmarks.photographs.schedules import RATES, SCHEDULES, ScheduleName
from benchmarks.photographs.systems import AUTOENCODER, RIVALS
from geovq.validation import InputError
from train.run.command_line import run_program


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.photographs", description=__doc__, formatter_class=raw)
    folders = {
        "autoencoders": "folder of published weights",
        "photographs": "folder with bsds500/train, bsds500/val and kodak",
        "run": "folder of codebooks and finished images",
    }
    for flag, said in folders.items():
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True, help=said)
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="reduced")
    parser.add_argument("--only", choices=list(RATES), nargs="+", default=list(RATES), help="these autoencoders")
    parser.add_argument("--rivals", choices=RIVALS, nargs="*", default=list(RIVALS), help="these rivals")
    parser.add_argument(
        "--finetuned",
        type=_named,
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="tokenizers that train.finetune made of TAESD",
    )
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def _named(text: str) -> tuple[str, pathlib.Path]:
    """A tokenizer's name in the rows, and its file."""
    name, found, path = text.partition("=")
    if not (found and name.replace("-", "").isalnum() and pathlib.Path(path).is_file()):
        raise argparse.ArgumentTypeError(
            f"expected NAME=FILE, a name of letters, digits and hyphens and a file that is there, found {text!r}"
        )
    return name, pathlib.Path(path).resolve()


def check_packages(rivals: Sequence[str]) -> None:
    """Refuses before hours of work what would be missing after them.

    Raises:
        InputError: With what to install.
    """
    needed = {"bjontegaard": "bjontegaard"} | ({"faiss": "faiss-cpu"} if {"beam", "lsq"} & {*rivals} else {})
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            f"packages: expected {', '.join(missing)} to be installed, found none; pip install {' '.join(missing)}, or leave out "
            "beam and lsq with --rivals."
        )


def main() -> None:
    """Runs the benchmark."""
    options = parse_options()

    from benchmarks.common.published import Published
    from benchmarks.photographs import figures, tables
    from benchmarks.photographs.measure import measure

    check_packages(options.rivals)
    schedule = SCHEDULES[options.schedule].without({*RIVALS} - {*options.rivals})
    folders = (options.autoencoders.resolve(), options.photographs.resolve(), options.run.resolve())
    published = Published(*folders, schedule.train_crops, schedule.train_side)
    published.check_run()
    names = [name for name, _ in options.finetuned]
    if len({*names}) < len(names) or (names and AUTOENCODER not in options.only):
        raise InputError(
            f"finetuned: expected different names, with {AUTOENCODER} in --only, found {names}; change them."
        )
    rows = list(measure(published, schedule, tuple(options.only), dict(options.finetuned)))
    shown = {name: table(rows) for name, table in tables.TABLES.items()}
    print(captioned({name: markdown(*table) for name, table in shown.items() if table[1]}))
    seeds = sorted({seed for study in schedule.studies for seed in study.seeds})
    label = f"{options.schedule}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''} of the codes at most"
    whole = {*options.only} == {*RATES} and {*options.rivals} == {*RIVALS}
    name = file_name("photographs", options.schedule, whole=whole)
    tuned = select(rows, case="finetuned")
    save(name, [each for each in rows if each not in tuned], {f"codes {n}": n for n in seeds}, label, options.output)
    if tuned:
        save(f"{name}_finetuned", tuned, {"codes 0": 0}, label, options.output)
    if AUTOENCODER in options.only:
        figures.draw(published, schedule, rows, options.output / name)


if __name__ == "__main__":
    run_program(main)
