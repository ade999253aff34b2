"""A run: VAE, codebooks, Transformer, samples, scores. Skips what is complete, resumes what was interrupted.

    python -m train.pipeline --preset demo
    python -m train.pipeline --preset quick --data-dir DIR
    python -m train.pipeline --preset full --data-dir DIR --run runs/my-run

demo: scikit-learn's digits, a minute and a half on two CPU cores. quick: FashionMNIST, within 40 minutes on two cores. full: the
study's schedule, for an accelerator. DIR holds the four official IDX files; without it tensorflow-datasets is asked.
"""

import time

from geovq.validation import InputError
from train.config.options import Config, tokenizer_stages
from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run

SECTIONS = ("data", "vae", "codebook", "gpt", "sample", "evaluate")
STAGES = ("vae", "codebook", "gpt", "sample", "evaluate")


def run(run: Run) -> None:
    """Runs every stage that is not complete, and prints the fingerprint of each."""
    from train import codebook, evaluate, gpt, sample, vae

    started = time.monotonic()
    for stage in (vae, codebook, gpt, sample, evaluate):
        stage.run(run)
    print("\nfingerprints of the outputs")
    for name in STAGES:
        print(f"  {name:9} {run.fingerprint(name)[:16]}  {run.seconds(name):8.1f} s")
    print(f"{run.folder}: complete, {time.monotonic() - started:.1f} s in this call", flush=True)


def others(config: Config) -> tuple[str, ...]:
    """Stages that have to be complete, for they are not among those that are run here."""
    tuned = ("finetune",) if config.sample.decoder == "finetuned" else ()
    return tuple(name for name in (*tokenizer_stages(config), *tuned) if name not in STAGES)


def main() -> None:
    """Runs the program."""
    asked, _ = parse(__doc__, SECTIONS, NoExtra(), needs=others)
    if asked.config.gpt.price:
        raise InputError(
            f"gpt.price: expected 0 for the pipeline, which knows no prior, found {asked.config.gpt.price:g}; run train.gpt with "
            "--prior, then train.sample and train.evaluate."
        )
    run(asked)


if __name__ == "__main__":
    run_program(main)
