"""Trains the causal Transformer on the tokens of one codebook and assignment.

    python -m train.gpt --run runs/demo
    python -m train.gpt --run runs/quick --gpt.codebook geodesic --gpt.assign whitened
    python -m train.gpt --run runs/quick --gpt.codebook finetuned --gpt.assign amortised     after train.finetune
    python -m train.gpt --run runs/vq --gpt.codebook baseline --gpt.assign euclidean         after train.baseline

On tokens that are assigned anew, so that they decode well and are what the Transformer of another run with the same tokenizer
expects (entropy-constrained, geovq.tokenizer.entropy_constrained; docs/transformer.md says what it brings), where runs/priced
is a copy of runs/quick without gpt:

    python -m train.gpt --run runs/priced --prior runs/quick --gpt.assign amortised --gpt.price 0.1

With tokens that start alike where their codes decode alike, as in all presets (--gpt.start codes), with a moving average of the
weights, which is often better than the weights themselves (--gpt.average 0.999), and on an accelerator in half precision
(--gpt.bfloat16).

Needs RUN/vae and RUN/codebook, or the stage whose codes it takes. `joint` tokens take longer to assign than a Transformer takes
to train: with --tokens-of they are copied from a run that has the same, with --gpt.images they are those of fewer images. Writes
RUN/gpt/tokens.npz, RUN/gpt/checkpoints and RUN/gpt/metrics.jsonl. It keeps the parameters of the fewest validation nats
per token, and with --gpt.patience stops early where they no longer fall. Run it again to go on after an interruption.
"""

import dataclasses
import pathlib

from train.config.options import token_sections, tokenizer_stages
from train.run.command_line import parse, run_program
from train.run.folder import Run, stored_run


@dataclasses.dataclass(frozen=True)
class Others:
    """Other run folders."""

    tokens_of: pathlib.Path | None = None
    """Run folder with a Transformer over the same tokens, which are copied."""
    prior: pathlib.Path | None = None
    """Run folder with a Transformer over tokens of the same tokenizer, whose nats have the price gpt.price."""


def run(run: Run, tokens_of: Run | None = None, prior: Run | None = None) -> None:
    """Trains the run's Transformer, unless that is done.

    Args:
        run: With the complete stages that make its tokenizer.
        tokens_of: Another with a trained Transformer over the same tokens, which are copied from there.
        prior: Another with a trained Transformer over tokens of the same tokenizer. Its tokens are where the descent starts, and
            its nats have the price of the options. Not needed once the tokens are there.

    Raises:
        InputError: A stage is not complete, the other run's tokens are not those of this one or not of its tokenizer, or a price
            without a prior or a prior without a price.
    """
    from geovq.validation import InputError
    from train.loop import loop, steps
    from train.run.stage_record import Stage
    from train.stages import image_tokens
    from train.stages import inputs as stages
    from train.stages.gpt_model import begun, gpt_model

    options, began = run.config.gpt, Stage(run.folder, "gpt")
    assigned = (began.folder / "tokens.npz").exists()  # then the prior is not needed any more
    if (options.price == 0 and prior is not None) or (options.price and prior is None and not assigned):
        raise InputError(
            f"gpt.price: expected a price and --prior RUN, or neither, found {options.price:g} and "
            f"{prior.folder if prior else 'no prior'}; give both, or leave both out."
        )
    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, **{name: run.fingerprint(name) for name in tokenizer_stages(run.config)}}
    expected = None if prior is None else image_tokens.expected_by(prior, run, inputs)
    if options.price:
        inputs["prior"] = began.record.get("inputs", {}).get("prior") if prior is None else prior.fingerprint("gpt")
    stage = run.begin("gpt", (*token_sections(run.config), "gpt"), inputs)
    if stage is None:
        return
    if not (stage.folder / "tokens.npz").exists():
        if tokens_of is None:
            image_tokens.save(run, data, stage, expected)
        else:
            image_tokens.copy(tokens_of, run, stage)
    tokens = image_tokens.load(run)
    schedule = steps.Schedule.of(len(tokens["train"]), options)
    loop.train(stage.folder, "gpt", gpt_model(begun(run), tokens, options, schedule), schedule, stage.pause)
    stage.finish("gpt/tokens.npz", "gpt/checkpoints")


def main() -> None:
    """Runs the program."""
    asked, others = parse(__doc__, ("data", "gpt"), Others(), needs=tokenizer_stages)
    run(asked, *(None if folder is None else stored_run(folder) for folder in (others.tokens_of, others.prior)))


if __name__ == "__main__":
    run_program(main)
