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

On tokens of any grid that `geovq encode` wrote, with their labels if they have any, and nothing else:

    python -m train.gpt --tokens tokens --run runs/photographs
    python -m train.gpt --tokens tokens --run runs/photographs --grid 32 48 --gpt.bfloat16

The study's runs need RUN/vae and RUN/codebook, or the stage whose codes it takes. `joint` tokens take longer to assign than a
Transformer takes to train: --tokens-of copies them from a run that has the same, --gpt.max-images assigns them to fewer images.
Writes RUN/gpt/tokens.npz, or RUN/gpt/model.npz for a folder of tokens, RUN/gpt/checkpoints and RUN/gpt/metrics.jsonl. It keeps
the parameters of the fewest validation nats per token, and with --gpt.patience stops early where they no longer fall. Run it
again to go on after an interruption.
"""

import dataclasses
import pathlib
import sys

from geovq.validation import InputError
from train.config.options import STUDY, tokenizer_stages
from train.run.command_line import DEFAULT_PRESET, parse, run_program
from train.run.folder import stored_run


@dataclasses.dataclass(frozen=True)
class Others:
    """Other run folders."""

    tokens_of: pathlib.Path | None = None
    """Run folder with a Transformer over the same tokens, which are copied."""
    tokens: pathlib.Path | None = None
    """Folder of tokens that `geovq encode` wrote, which are trained on instead of the run's own images; one of twenty images is
    held out to say when to stop."""
    grid: tuple[int, int] | None = None
    """Token grid (h, w) of the images of --tokens that are trained on; needed where they have several."""
    prior: pathlib.Path | None = None
    """Run folder with a Transformer over tokens of the same tokenizer, whose nats gpt.nat_weight weighs."""


def main() -> None:
    """Runs the program."""
    given = any(argument.partition("=")[0] == "--tokens" for argument in sys.argv)
    preset, needs = ("photographs", ()) if given else (DEFAULT_PRESET, tokenizer_stages)
    run, others = parse(__doc__, ("data", "gpt"), Others(), needs=needs, presets=(*STUDY, "photographs"), preset=preset)
    if others.tokens is not None and (others.tokens_of, others.prior, run.config.gpt.nat_weight) == (None, None, 0):
        from geovq.corpus import open_tokens
        from train.stages import token_folder

        token_folder.run(run, open_tokens(others.tokens), others.grid)
        return
    if others.tokens is not None or others.grid is not None:
        raise InputError(
            "tokens: expected --tokens, and --grid if need be, without --tokens-of, --prior and gpt.nat_weight, found others; "
            "leave these out."
        )
    folders = (others.tokens_of, others.prior)
    tokens_of, prior = (None if folder is None else stored_run(folder) for folder in folders)

    from train.stages import gpt

    gpt.run(run, tokens_of, prior)


if __name__ == "__main__":
    run_program(main)
