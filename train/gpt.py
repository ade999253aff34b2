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
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax import nnx

    from geovq.checkpoint import tree_digest
    from geovq.chunks import map_chunks
    from geovq.gpt import loss, token_nats
    from geovq.store import stored_digest
    from train import loop, stages

    options = run.config.gpt
    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, "vae": run.fingerprint("vae"), "codebook": run.fingerprint("codebook")}
    stage = run.begin("gpt", ("data", "vae", "codebook", "gpt"), inputs)
    if stage is None:
        return
    if not (stage.folder / "tokens.npz").exists():
        stages.save_tokens(run, data)
        stage.pause()
    tokens = stages.load_tokens(run)
    graphdef, params = nnx.split(stages.new_gpt(run, data))
    conditional = options.conditional
    schedule = loop.Schedule(
        len(tokens["train"]),
        options.batch_size,
        options.epochs,
        options.patience,
        options.checkpoint_every,
        options.seed,
    )
    optimizer = loop.adamw(schedule, options.learning_rate, options.weight_decay)

    @jax.jit(donate_argnums=0)
    def step(state, batch, labels, key):
        def smoothed(params):
            model = nnx.merge(graphdef, params)
            return loss(model, batch, labels, key=key, label_smoothing=options.label_smoothing)

        value, gradients = jax.value_and_grad(smoothed)(state["params"])
        updates, optimizer_state = optimizer.update(gradients, state["optimizer"], state["params"])
        return {"params": optax.apply_updates(state["params"], updates), "optimizer": optimizer_state}, {"loss": value}

    @jax.jit
    def nats(params, batch, labels):
        return token_nats(nnx.merge(graphdef, params), batch, labels if conditional else None).mean(axis=1)

    def validate(params):
        found = map_chunks(lambda t, y: nats(params, t, y), tokens["val"], tokens["val_labels"], chunk=500)
        return {"loss": np.mean(found)}

    def update(state, batch, key):
        labels = jnp.asarray(tokens["train_labels"][batch]) if conditional else None
        return step(state, tokens["train"][batch], labels, key)

    model = loop.Model(params, optimizer, update, validate)
    best = loop.train(stage.folder, "gpt", model, schedule, stage.pause)
    stage.finish({"gpt/tokens.npz": stored_digest(stage.folder / "tokens.npz"), "gpt/checkpoints": tree_digest(best)})


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae", "codebook", "gpt"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
