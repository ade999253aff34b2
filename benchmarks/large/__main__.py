"""What do large grids cost, and what are they worth? Published autoencoders on photographs.

    python -m benchmarks.large --autoencoders DIR --photographs DIR --run runs/large                  two hours on two cores
    python -m benchmarks.large --autoencoders DIR --photographs DIR --run runs/full --schedule full   a day; three seeds of codes
    python -m benchmarks.large --autoencoders DIR --photographs DIR --run runs/smoke --schedule smoke two minutes, to try it

The first folder has taesd_encoder.safetensors and so on, the second bsds500/train, to which codes are fitted, and kodak, on which
all is reported. Every finished case is a file in --run and is not computed again: start the same command again after a break, and
choose another folder after a change of the code. With --data-dir, the folder of FashionMNIST, the band is measured on 4x4 grids
too, with the VAE of benchmarks.tokenizer, which is trained in --study unless that folder has it. Writes
benchmarks/results/large.json.

Parts: scaling, seconds and memory a pixel; band, JᵀJ of neighbours compared with the dense one; speed, joint assignment compared
with a dense Jacobian and with probes; quality, PSNR, SSIM and LPIPS compared with Euclidean k-means.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import get_args

from benchmarks.common.harness import FOLDER, captioned, file_name, markdown, save
from benchmarks.common.rows import Row
from benchmarks.large.schedules import SCHEDULES, Part, ScheduleName
from train.run.command_line import run_program

PARTS: tuple[Part, ...] = get_args(Part)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.large", description=__doc__, formatter_class=raw)
    folders = {
        "autoencoders": "folder of published weights",
        "photographs": "folder with bsds500/train and kodak",
        "run": "folder of codebooks and finished cases",
    }
    for flag, said in folders.items():
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True, help=said)
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="reduced")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--data-dir", help="folder of FashionMNIST; without it, its 4x4 grids are left out")
    parser.add_argument("--study", type=pathlib.Path, help="run folder of benchmarks.tokenizer; by default in --run")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the benchmark."""
    options = parse_options()

    from benchmarks.large import tables
    from benchmarks.large.band import band
    from benchmarks.large.inputs import Setting
    from benchmarks.large.quality import quality
    from benchmarks.large.scaling import scaling
    from benchmarks.large.speed import speed

    schedule = SCHEDULES[options.schedule]
    setting = Setting(options.autoencoders.resolve(), options.photographs.resolve(), options.run.resolve(), schedule)
    study = options.study or options.run / "study"
    setting.published.check_run()
    made = {
        "scaling": lambda: scaling(setting),
        "band": lambda: band(setting, options.data_dir, study),
        "speed": lambda: speed(setting),
        "quality": lambda: quality(setting),
    }
    rows: list[Row] = [row for part in PARTS if part in options.parts for row in made[part]()]
    shown = {name: table(rows) for name, table in tables.TABLES.items()}
    print(captioned({name: markdown(*table) for name, table in shown.items() if table[1]}))
    seeds = {f"codes {seed}": seed for seed in schedule.seeds}
    label = f"{options.schedule}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''} of the codes"
    name = file_name("large", options.schedule, whole=set(options.parts) == set(PARTS))
    save(name, rows, seeds, label, options.output)


if __name__ == "__main__":
    run_program(main)
