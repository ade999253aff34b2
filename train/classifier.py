"""Trains the small classifier in whose features sets of images are compared.

On scikit-learn's digits, seconds on two CPU cores:

    python -m train.classifier --preset demo

On FashionMNIST, a quarter of an hour:

    python -m train.classifier --preset quick --data-dir DIR

Needs images alone. Writes RUN/classifier/checkpoints, metrics.jsonl and accuracy.json, the accuracy on the test images. Run it
again to go on after an interruption.
"""

from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run


def run(run: Run) -> None:
    """Trains the run's classifier, unless that is done."""
    import jax
    import numpy as np
    import optax
    from flax import nnx

    from geovq.batching.chunks import map_chunks
    from geovq.storage import write_json
    from train.evaluation.scoring import row
    from train.loop import loop, steps
    from train.stages import inputs as stages
    from train.stages import networks
    from train.stages.classifier import augmented
    from train.vae import scaled

    options = run.config.classifier
    data = stages.images(run.config.data)
    dataset = data.dataset
    graphdef, params = nnx.split(networks.new_classifier(run, dataset.train_images.shape[1:]))
    schedule = steps.Schedule.of(len(dataset.train_images), options)
    stage = run.begin("classifier", ("data", "classifier"), {"data": data.sha256})
    if stage is None:
        return

    # On the host, for the loop's first step takes the memory of what is on the device.
    params = jax.tree.map(np.array, params)

    def loss(params, key, batch, labels):
        drawn, dropped = jax.random.split(key)
        images = augmented(scaled(batch), drawn, shift=options.shift, mirror=options.mirror)
        logits = nnx.merge(graphdef, params)(images, key=dropped)
        targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[1]), options.label_smoothing)
        value = optax.softmax_cross_entropy(logits, targets).mean()
        return value, {"loss": value}

    @jax.jit
    def score(params, batch, labels):
        logits = nnx.merge(graphdef, params)(scaled(batch))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels), logits.argmax(axis=1) == labels

    def scored(params, images, labels):
        return map_chunks(lambda x, y: score(params, x, y), images, labels, chunk=500)

    def validate(state):
        nats, right = scored(state["params"], dataset.val_images, dataset.val_labels)
        return {"loss": np.mean(nats), "accuracy": np.mean(right)}

    optimizer = steps.adamw(schedule, options.learning_rate, options.weight_decay)
    model = steps.Model(
        *steps.by_gradient(params, loss, optimizer),
        lambda rows: (dataset.train_images[rows], dataset.train_labels[rows]),
        validate,
    )
    loop.train(stage.folder, "classifier", model, schedule, stage.pause)
    best = loop.best_parameters(stage.folder, params)
    _, right = scored(best, dataset.test_images, dataset.test_labels)
    print(f"classifier: {right.mean():.2%} of {len(right):,} test images right", flush=True)
    fields = {"case": "classifier", "width": options.width, "epochs": options.epochs}
    write_json(stage.folder / "accuracy.json", {"rows": [row(fields, "accuracy", right)]})
    stage.finish("classifier/checkpoints", "classifier/accuracy.json")


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "classifier"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
