"""Trains the continuous VAE: images -> a grid of latents -> images.

On scikit-learn's digits, half a minute on two CPU cores:

    python -m train.vae --preset demo

On FashionMNIST, six minutes; DIR holds the four official files, and without --data-dir tensorflow-datasets is asked:

    python -m train.vae --preset quick --data-dir DIR

At another rate, held by a controller, for a codebook of K = 4096 (--bits 0 leaves β fixed at --vae.noise-variance):

    python -m train.vae --preset quick --data-dir DIR --run runs/12-bits --bits 12

Writes RUN/vae/checkpoints and RUN/vae/metrics.jsonl. Run it again to go on after an interruption.
"""

from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the program."""
    run, _ = parse(__doc__, ("data", "vae"), NoExtra())

    from train.stages import vae

    vae.run(run)


if __name__ == "__main__":
    run_program(main)
