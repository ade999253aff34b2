"""Trains the causal Transformer on the tokens of one codebook and assignment.

    python -m train.gpt --run runs/demo
    python -m train.gpt --run runs/quick --gpt.codebook geodesic --gpt.assign whitened
    python -m train.gpt --run runs/quick --gpt.codebook finetuned --gpt.assign amortised     after train.finetune
    python -m train.gpt --run runs/vq --gpt.codebook baseline --gpt.assign euclidean         after train.baseline

With tokens that start alike where their codes decode alike, as in all presets (--gpt.start codes), with a moving average of the
weights, which is often better than the weights themselves (--gpt.average 0.999), and on an accelerator in half precision
(--gpt.bfloat16).

Needs RUN/vae and RUN/codebook, or the stage whose codes it takes. Writes RUN/gpt/tokens.npz, RUN/gpt/checkpoints and
RUN/gpt/metrics.jsonl. Training stops early when validation nats per token stop falling, and keeps the best parameters. Run it
again to go on after an interruption.
"""

from train.cli import NoExtra, parse, run_program
from train.config import token_sections, tokenizer_stages
from train.run import Run


def run(run: Run, tokens_of: Run | None = None) -> None:
    """Trains the run's Transformer, unless that is done.

    Args:
        run: With the complete stages that make its tokenizer.
        tokens_of: Another with a trained Transformer over the same tokens, which are copied from there: `joint` ones take
            longer to assign than a Transformer takes to train.

    Raises:
        InputError: A stage is not complete, or the other run's tokens are not those of this one.
    """
    from train import image_tokens, loop, stages, steps
    from train.gpt_model import begun, gpt_model

    options = run.config.gpt
    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, **{name: run.fingerprint(name) for name in tokenizer_stages(run.config)}}
    stage = run.begin("gpt", (*token_sections(run.config), "gpt"), inputs)
    if stage is None:
        return
    if not (stage.folder / "tokens.npz").exists():
        if tokens_of is None:
            image_tokens.save(run, data, stage)
        else:
            image_tokens.copy(tokens_of, run, stage)
    tokens = image_tokens.load(run)
    schedule = steps.Schedule.of(len(tokens["train"]), options)
    loop.train(stage.folder, "gpt", gpt_model(begun(run), tokens, options, schedule), schedule, stage.pause)
    stage.finish("gpt/tokens.npz", "gpt/checkpoints")


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "gpt"), NoExtra(), needs=tokenizer_stages)[0])


if __name__ == "__main__":
    run_program(main)
