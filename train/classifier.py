"""Trains the small classifier in whose features sets of images are compared.

On scikit-learn's digits, seconds on two CPU cores:

    python -m train.classifier --preset demo

On FashionMNIST, a quarter of an hour:

    python -m train.classifier --preset quick --data-dir DIR

Needs images alone. Writes RUN/classifier/checkpoints, metrics.jsonl and accuracy.json, the accuracy on the test images. Run it
again to go on after an interruption.
"""

from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the program."""
    run, _ = parse(__doc__, ("data", "classifier"), NoExtra())

    from train.stages import classifier

    classifier.run(run)


if __name__ == "__main__":
    run_program(main)
