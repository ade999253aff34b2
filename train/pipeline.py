r"""A run: VAE, codebooks, Transformer, samples, scores. Skips what is complete, resumes what was interrupted.

    python -m train.pipeline --preset demo
    python -m train.pipeline --preset quick --data-dir DIR
    python -m train.pipeline --preset full --data-dir DIR --run runs/my-run

demo: scikit-learn's digits, a minute on two CPU cores. quick: FashionMNIST, within 40 minutes on two cores. full: the study's
schedule, for an accelerator. DIR holds the four official IDX files; without it tensorflow-datasets is asked.

demo and quick score a few telling rows. All codebooks with all assigners:

    python -m train.pipeline --preset demo --run runs/all --evaluate.all \
        --codebook.codebooks kmeans whitened metric refined euclidean geodesic
"""

import time

from geovq.validation import InputError
from train.config.options import Config, needed_for_samples
from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run

SECTIONS = ("data", "vae", "codebook", "gpt", "sample", "evaluate")
STAGES = ("vae", "codebook", "gpt", "sample", "evaluate")


def run(run: Run) -> None:
    """Runs every stage that is not complete, prints the fingerprint of each, and says which file to open."""
    from train.evaluation import evaluate, samples
    from train.stages import codebook, gpt, vae

    started = time.monotonic()
    for stage in (vae, codebook, gpt, samples, evaluate):
        stage.run(run)
    print("\nfingerprints of the outputs")
    for name in STAGES:
        print(f"  {name:9} {run.fingerprint(name)[:16]}  {run.seconds(name):8.1f} s")
    print(f"{run.folder}: complete, {time.monotonic() - started:.1f} s in this call")
    print(f"Open {run.folder}/report.html: the scores, the learning curves, the reconstructions and the samples.")
    print(f"next: python -m train.report --run {run.folder} adds what the tokens do to some images.", flush=True)


def needs(config: Config) -> tuple[str, ...]:
    """Stages that have to be complete, because the pipeline does not run them."""
    return tuple(name for name in needed_for_samples(config) if name not in STAGES)


def main() -> None:
    """Runs the program."""
    asked, _ = parse(__doc__, SECTIONS, NoExtra(), needs=needs)
    if asked.config.gpt.nat_weight:
        raise InputError(
            f"gpt.nat_weight: expected 0 for the pipeline, which knows no prior, found {asked.config.gpt.nat_weight:g}; run "
            "train.gpt with --prior, then train.sample and train.evaluate."
        )
    run(asked)


if __name__ == "__main__":
    run_program(main)
