"""Scores a run on the test images: codebooks with assigners, and the Transformer's likelihood.

    python -m train.evaluate --run runs/demo

With all assigners, of which greedy takes longest, where the run has not been evaluated yet:

    python -m train.evaluate --run runs/demo --evaluate.all

Needs RUN/vae, RUN/codebook and RUN/gpt. Writes RUN/results.json, RUN/reconstructions.png, RUN/codes.png and RUN/report.html,
and prints the table. All scores are means over the test images, with 95% bootstrap intervals in results.json.
"""

from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the program."""
    run, _ = parse(__doc__, ("data", "evaluate"), NoExtra(), needs=("vae", "codebook", "gpt"))

    from train.evaluation import evaluate

    evaluate.run(run)


if __name__ == "__main__":
    run_program(main)
