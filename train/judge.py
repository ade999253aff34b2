"""Generated images beside real ones, in the features of a run's classifier."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from geovq import scores, set_scores
from geovq.checks import check_images
from geovq.chunks import map_chunks
from train import networks, stages
from train.run import Run
from train.scoring import Row, row

_CHUNK = 500

PAIRS = 1000
"""Pairs of images of one class whose LPIPS is taken."""


class Judged(NamedTuple):
    """What the classifier makes of n images."""

    features: Float[np.ndarray, "n f"]
    classes: Int[np.ndarray, " n"]
    """The likeliest class of each."""


class Judge(NamedTuple):
    """A trained classifier, and what it makes of the real images."""

    look: Callable[[Float[np.ndarray, "n H W C"]], Judged]
    accuracy: float
    """On the test images; belongs beside every score."""
    train: Judged
    test: Judged
    classes: int
    fingerprint: str
    """Of the classifier."""

    @classmethod
    def of(cls, run: Run) -> Self:
        """The classifier of a run, and its view of the run's images.

        Raises:
            InputError: The run's classifier is not complete, or damaged.
        """
        dataset = stages.images(run.config.data).dataset
        classifier, accuracy = networks.trained_classifier(run, dataset.train_images.shape[1:])
        graphdef, params = nnx.split(classifier)

        @jax.jit
        def seen(batch: Any) -> tuple[Any, Any]:
            model = nnx.merge(graphdef, params)
            features = model.features(batch)
            return features, model.head(features).argmax(axis=1)

        def look(images: np.ndarray) -> Judged:
            return Judged(*map_chunks(seen, check_images(images), chunk=_CHUNK))

        train, test = look(dataset.train_images), look(dataset.test_images)
        return cls(look, accuracy, train, test, len(stages.class_names(run)), run.fingerprint("classifier"))


def set_rows(fields: Row, judge: Judge, found: Judged, asked: Int[np.ndarray, " n"] | None = None) -> list[Row]:
    """Scores of a set of images beside the real test images.

    Args:
        fields: What the set is.
        judge: By whom it is seen.
        found: What it makes of the set.
        asked: Classes that the images were to be of; None where none were asked for.

    Returns:
        frechet, kid, precision, recall, density, coverage, nearest_distance (to the nearest training image, over that of test
        images) and, where classes were asked for, class_accuracy; intervals are over images, that of kid over subsets.
    """
    fields = fields | {"classifier_accuracy": judge.accuracy}
    distance = set_scores.frechet_interval(judge.test.features, found.features)
    kernel = scores.bootstrap_interval(set_scores.kernel_distances(judge.test.features, found.features))
    near = set_scores.closeness(judge.test.features, found.features)
    rows = [
        {**fields, "score": name, "value": mean, "low": low, "high": high, "n": len(found.features)}
        for name, (mean, low, high) in {"frechet": distance, "kid": kernel}.items()
    ]
    rows += [row(fields, name, np.asarray(values, np.float64)) for name, values in near._asdict().items()]
    nearest = functools.partial(set_scores.nearest_distances, judge.train.features)
    rows.append(row(fields, "nearest_distance", nearest(found.features) / nearest(judge.test.features).mean()))
    if asked is not None:
        rows.append(row(fields, "class_accuracy", (found.classes == asked).astype(np.float64)))
    return rows


def confusion(fields: Row, judge: Judge, found: Judged, asked: Int[np.ndarray, " n"]) -> list[Row]:
    """Of the images that were to be of a class, the fraction that is seen as each."""
    rows = []
    for wanted in range(judge.classes):
        seen = np.bincount(found.classes[asked == wanted], minlength=judge.classes)
        rows += [
            row(fields | {"asked": wanted, "seen": other}, "fraction", count / max(1, seen.sum()), int(seen.sum()))
            for other, count in enumerate(seen)
        ]
    return rows


def diversity(
    fields: Row, images: Float[np.ndarray, "n H W C"], labels: Int[np.ndarray, " n"], pairs: int = PAIRS
) -> Row:
    """LPIPS of pairs of images of the same class: how unlike each other they are.

    Args:
        fields: What the set is.
        images: In [0, 1].
        labels: Class of each, or zeros.
        pairs: At most so many, evenly over the classes.
    """
    firsts, seconds = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)[: math.ceil(pairs / len(np.unique(labels))) + 1]
        firsts += list(rows[:-1])
        seconds += list(rows[1:])
    return row(fields, "lpips_diversity", scores.lpips(images[firsts], images[seconds]))
