"""The stage that trains the small classifier in whose features sets of images are compared."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree, UInt8

from geovq.batching.chunks import map_chunks
from geovq.storage.records import write_record
from train.config.options import ClassifierOptions
from train.data.datasets import Dataset
from train.data.intensities import to_intensities
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import GradientTask, Means, State
from train.run.folder import Run
from train.run.rows import row
from train.stages import inputs, networks
from train.stages.classifier_network import Classifier, augment


class ClassifierTask(GradientTask):
    """A classifier of augmented images."""

    def __init__(self, classifier: Classifier, dataset: Dataset, options: ClassifierOptions, schedule: Schedule):
        """The task.

        Args:
            classifier: With its initial weights.
            dataset: Images and labels.
            options: How it is trained.
            schedule: How long.
        """
        self._graphdef, params = nnx.split(classifier)
        # On the host, because the loop's first step takes the memory of what is on the device.
        self.params = jax.tree.map(np.array, params)
        super().__init__(self.params, schedule.adamw(options))
        self._dataset, self._options = dataset, options
        self._scores = jax.jit(self._score_batch)

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """Images and labels."""
        return self._dataset.train_images[indices], self._dataset.train_labels[indices]

    def loss(self, params: PyTree, key: jax.Array, *batch: Any) -> tuple[jax.Array, Means]:
        """Cross-entropy with smoothed labels."""
        images, labels = batch
        drawn, dropped = jax.random.split(key)
        images = augment(to_intensities(images), drawn, shift=self._options.shift, mirror=self._options.mirror)
        logits = nnx.merge(self._graphdef, params)(images, key=dropped)
        targets = optax.smooth_labels(
            jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype), self._options.label_smoothing
        )
        value = optax.softmax_cross_entropy(logits, targets).mean()
        return value, {"loss": value}

    def validate(self, state: State) -> Mapping[str, float]:
        """Nats and accuracy on the validation images."""
        nats, right = self.score(state["params"], self._dataset.val_images, self._dataset.val_labels)
        return {"loss": float(np.mean(nats)), "accuracy": float(np.mean(right))}

    def score(
        self, params: PyTree, images: UInt8[np.ndarray, "n H W C"], labels: Int[np.ndarray, " n"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nats of each image's label, and whether its likeliest class is right."""
        return map_chunks(lambda x, y: self._scores(params, x, y), images, labels, chunk=500)

    def _score_batch(
        self, params: PyTree, batch: UInt8[Array, "n H W C"], labels: Int[Array, " n"]
    ) -> tuple[Float[Array, " n"], Array]:
        logits = nnx.merge(self._graphdef, params)(to_intensities(batch))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels), logits.argmax(axis=1) == labels


def run(run: Run) -> None:
    """Trains the run's classifier, unless that is done."""
    data = inputs.images(run.config.data)
    dataset, options = data.dataset, run.config.classifier
    classifier = networks.new_classifier(run, dataset.train_images.shape[1:])
    schedule = Schedule.of(len(dataset.train_images), options)
    stage = run.begin("classifier", ("data", "classifier"), {"data": data.sha256})
    if stage is None:
        return
    task = ClassifierTask(classifier, dataset, options, schedule)
    loop.train(stage.folder, "classifier", task, schedule, stage.pause)
    best = loop.best_parameters(stage.folder, task.params)
    _, right = task.score(best, dataset.test_images, dataset.test_labels)
    print(f"classifier: {right.mean():.2%} of {len(right):,} test images right", flush=True)
    fields = {"case": "classifier", "width": options.width, "epochs": options.epochs}
    write_record(stage.folder / "accuracy.json", {"rows": [row(fields, "accuracy", right)]})
    stage.finish("classifier/checkpoints", "classifier/accuracy.json")
