"""Generated images beside real ones, in the features of a run's classifier."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from geovq.batching.chunks import map_chunks
from geovq.scores import reconstruction as scores
from geovq.scores import sets as set_scores
from geovq.scores.intervals import Interval
from geovq.validation import check_images
from train.evaluation.scoring import Row, row
from train.run.folder import Run
from train.stages import inputs as stages
from train.stages import networks

_CHUNK = 500

_INDEPENDENT = 10
"""Subsets that make up a set."""

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
    nearest: set_scores.Nearest
    """The nearest training image of every test image."""
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
        nearest = set_scores.nearest_training(train.features, test.features)
        classes = len(stages.class_names(run))
        return cls(look, accuracy, train, test, nearest, classes, run.fingerprint("classifier"))


def set_rows(
    fields: Row, judge: Judge, found: Judged, asked: Int[np.ndarray, " n"] | None = None, sets: int = 1
) -> list[Row]:
    """Scores of a set of images beside the real test images.

    They depend on the number of images in a set; and a set of the classifier's own training images seems nearer than it is.

    Args:
        fields: What the set is.
        judge: By whom it is seen.
        found: What it makes of the set, or of several of the same size, one after another.
        asked: Classes that the images were to be of; None where none were asked for.
        sets: How many sets. Scores are means over them, which compare with those of one set and are surer.

    Returns:
        frechet, kid, precision, recall, density, coverage, nearest_distance (to the nearest training image, over that of test
        images), copied (the part that is nearer to a training image than all but 1% of the test images are: 0.01 where nothing
        was memorised) and, where classes were asked for, class_accuracy. Their 95% intervals are over the images of the sets,
        those of recall and coverage over the test images, and that of kid over both: none holds what another training would
        give. n of frechet and kid is that of one set.
    """
    fields, real = fields | {"classifier_accuracy": judge.accuracy}, judge.test.features
    parts = np.split(found.features, sets)
    intervals = {
        "frechet": _over_sets([set_scores.frechet_interval(real, part) for part in parts], sets**0.5),
        "kid": _over_sets([_kernel_interval(real, part) for part in parts], 1.0),  # of the same real images
    }
    rows: list[Row] = [
        {**fields, "score": name, "value": mean, "low": low, "high": high, "n": len(parts[0])}
        for name, (mean, low, high) in intervals.items()
    ]
    of_sets = set_scores.Closeness(*zip(*(set_scores.closeness(real, part) for part in parts), strict=True))
    near = {
        "precision": np.concatenate(of_sets.precision),
        "recall": np.mean(of_sets.recall, axis=0),
        "density": np.concatenate(of_sets.density),
        "coverage": np.mean(of_sets.coverage, axis=0),
    }
    of_test, nearest = (
        judge.nearest.distances,
        set_scores.nearest_training(judge.train.features, found.features).distances,
    )
    near |= {"nearest_distance": nearest / of_test.mean(), "copied": nearest < np.quantile(of_test, 0.01)}
    if asked is not None:
        near["class_accuracy"] = found.classes == asked
    return rows + [row(fields, name, np.asarray(values, np.float64)) for name, values in near.items()]


def _over_sets(intervals: Sequence[Interval], narrower: float) -> Interval:
    """The mean of intervals, by this factor narrower."""
    mean, low, high = np.mean(intervals, axis=0)
    return Interval(float(mean), float(mean - (mean - low) / narrower), float(mean + (high - mean) / narrower))


def _kernel_interval(real: Float[np.ndarray, "m f"], found: Float[np.ndarray, "n f"]) -> Interval:
    """Mean kernel distance of subsets that are a tenth of the set, with its normal interval.

    Subsets overlap, so that only ten of them count as independent, however many are drawn.
    """
    size = max(2, min(len(real), len(found)) // _INDEPENDENT)
    distances = set_scores.kernel_distances(real, found, size=size)
    half = 1.96 * float(distances.std(ddof=1)) / _INDEPENDENT**0.5
    mean = float(distances.mean())
    return Interval(mean, mean - half, mean + half)


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
    """LPIPS of pairs of images of the same class: how unlike each other they are. No image is in two pairs.

    Args:
        fields: What the set is.
        images: In [0, 1]; at least two of some class.
        labels: Class of each: what was asked for, or what it is seen as.
        pairs: At most so many, evenly over the classes, but one of each class where there are more of these.
    """
    classes = np.unique(labels)
    each = max(1, pairs // len(classes))
    firsts, seconds = [], []
    for label in classes:
        rows = np.flatnonzero(labels == label)
        count = min(each, len(rows) // 2)
        firsts += list(rows[:count])
        seconds += list(rows[count : 2 * count])
    return row(fields, "lpips_diversity", scores.lpips(images[firsts], images[seconds]))
