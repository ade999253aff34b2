"""Trains the causal Transformer on the tokens of one codebook and assignment.

    python -m train.gpt --run runs/demo
    python -m train.gpt --run runs/quick --gpt.codebook geodesic --gpt.assigner whitened
    python -m train.gpt --run runs/quick --gpt.codebook finetuned --gpt.assigner amortised     after train.finetune
    python -m train.gpt --run runs/vq --gpt.codebook baseline --gpt.assigner euclidean         after train.baseline

On tokens that are assigned anew, so that they decode well and the Transformer of another run with the same tokenizer expects them
(entropy-constrained, geovq.tokenizer.entropy_constrained; docs/transformer.md says what it brings). runs/expected is a copy of
runs/quick without gpt:

    python -m train.gpt --run runs/expected --prior runs/quick --gpt.assigner amortised --gpt.nat-weight 0.1

With tokens that start alike where their codes decode alike, as in all presets (--gpt.start codes), with a moving average of the
weights, which is often better than the weights themselves (--gpt.average 0.999), and on an accelerator in half precision
(--gpt.bfloat16).

Needs RUN/vae and RUN/codebook, or the stage whose codes it takes. `joint` tokens take longer to assign than a Transformer takes
to train: --tokens-of copies them from a run that has the same, --gpt.max-images assigns them to fewer images. Writes
RUN/gpt/tokens.npz, RUN/gpt/checkpoints and RUN/gpt/metrics.jsonl. It keeps the parameters of the fewest validation nats
per token, and with --gpt.patience stops early where they no longer fall. Run it again to go on after an interruption.
"""

import dataclasses
import pathlib

from train.config.options import tokenizer_stages
from train.run.command_line import parse, run_program
from train.run.folder import stored_run


@dataclasses.dataclass(frozen=True)
class Others:
    """Other run folders."""

    tokens_of: pathlib.Path | None = None
    """Run folder with a Transformer over the same tokens, which are copied."""
    prior: pathlib.Path | None = None
    """Run folder with a Transformer over tokens of the same tokenizer, whose nats gpt.nat_weight weighs."""


def main() -> None:
    """Runs the program."""
    run, others = parse(__doc__, ("data", "gpt"), Others(), needs=tokenizer_stages)
    folders = (others.tokens_of, others.prior)
    tokens_of, prior = (None if folder is None else stored_run(folder) for folder in folders)

    from train.stages import gpt

    gpt.run(run, tokens_of, prior)


if __name__ == "__main__":
    run_program(main)
