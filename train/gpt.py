"""Trains the causal Transformer on the tokens of one codebook and assignment.

    python -m train.gpt --run runs/demo
    python -m train.gpt --run runs/quick --gpt.codebook geodesic --gpt.assign whitened

Needs RUN/vae and RUN/codebook. Writes RUN/gpt/tokens.npz, RUN/gpt/checkpoints and RUN/gpt/metrics.jsonl. Training stops early
when validation nats per token stop falling, and keeps the best parameters. Run it again to go on after an interruption.
"""

from train.cli import NoExtra, parse, run_program
from train.run import Run


def run(run: Run) -> None:
    """Trains the run's Transformer, unless that is done."""
    import jax
    import numpy as np
    from flax import nnx

    from geovq.chunks import map_chunks
    from geovq.gpt import drop_labels, token_nats
    from geovq.gpt import loss as smoothed_loss
    from train import image_tokens, loop, stages

    options = run.config.gpt
    data = stages.images(run.config.data)
    graphdef, params = nnx.split(stages.new_gpt(run))
    inputs = {"data": data.sha256, "vae": run.fingerprint("vae"), "codebook": run.fingerprint("codebook")}
    stage = run.begin("gpt", ("data", "vae", "codebook", "gpt"), inputs)
    if stage is None:
        return
    if not (stage.folder / "tokens.npz").exists():
        image_tokens.save(run, data, stage)
    tokens = image_tokens.load(run)
    schedule = loop.Schedule.of(len(tokens["train"]), options)

    def loss(params, key, batch, labels):
        model = nnx.merge(graphdef, params)
        if labels is not None:
            drawn, key = jax.random.split(key)
            labels = drop_labels(labels, model.config, drawn)
        value = smoothed_loss(model, batch, labels, key=key, label_smoothing=options.label_smoothing)
        return value, {"loss": value}

    @jax.jit
    def nats(params, batch, labels):
        known = labels if options.conditional else None
        return token_nats(nnx.merge(graphdef, params), batch, known).mean(axis=1)

    def validate(state):
        found = map_chunks(lambda t, y: nats(state["params"], t, y), tokens["val"], tokens["val_labels"], chunk=500)
        return {"loss": np.mean(found)}

    def batch(indices):
        return tokens["train"][indices], tokens["train_labels"][indices] if options.conditional else None

    optimizer = loop.adamw(schedule, options.learning_rate, options.weight_decay)
    model = loop.Model(*loop.by_gradient(params, loss, optimizer), batch, validate)
    loop.train(stage.folder, "gpt", model, schedule, stage.pause)
    stage.finish("gpt/tokens.npz", "gpt/checkpoints")


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "gpt"), NoExtra(), needs=("vae", "codebook"))[0])


if __name__ == "__main__":
    run_program(main)
