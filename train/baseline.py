"""Trains a quantizer end to end with an encoder and a decoder like the VAE's: VQ-VAE or FSQ, for comparison.

On scikit-learn's digits, half a minute on two CPU cores:

    python -m train.baseline --preset demo --baseline.system vqvae

On FashionMNIST, with the networks, the batches and the schedule of the VAE, six minutes:

    python -m train.baseline --preset quick --data-dir DIR --baseline.system vqvae
    python -m train.baseline --preset quick --data-dir DIR --baseline.system fsq --run runs/fsq

Writes RUN/baseline/checkpoints and RUN/baseline/metrics.jsonl. Run it again to go on after an interruption.
`train.stages.tokenizers.load_baseline` gives its tokenizer, with any of our assignments.
"""

from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the program."""
    run, _ = parse(__doc__, ("data", "vae", "baseline"), NoExtra())

    from train.stages import baseline

    baseline.run(run)


if __name__ == "__main__":
    run_program(main)
