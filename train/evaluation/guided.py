"""Samples by class and guidance, and the training images nearest to them, as a part of a run's page."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from geovq.cli.page.content import Section
from geovq.cli.page.pictures import picture, sheet
from geovq.scores.sets import nearest_training
from train.data.datasets import Dataset
from train.data.intensities import to_intensities
from train.run.folder import Run
from train.stages.sampling import draw

GUIDANCES = (1.0, 2.0, 4.0)
"""Weights of guidance; the first is none."""

PER_CLASS = 4
"""Samples of each class."""

_TEST_IMAGES = 200
"""Whose distances to training images are compared with those of samples."""


class Guided(NamedTuple):
    """Samples of every class."""

    by_guidance: dict[float, dict[str, Float[np.ndarray, "n H W C"]]]
    """Images by guidance and class."""
    nearest: dict[str, Float[np.ndarray, "n H W C"]]
    """The training images that are nearest to the samples of the first guidance."""
    distance: float
    """Mean root mean squared difference of these samples and their nearest training images, in intensity."""
    test_distance: float
    """The same of test images."""
    by_class: bool = True
    """Whether samples were asked for by class; otherwise each stands by itself."""


def draw_guided(run: Run, dataset: Dataset, *, per_class: int = PER_CLASS) -> Guided:
    """Samples with the run's own options but for guidance: without any alone, where the Transformer was not trained for it.

    Args:
        run: With a trained Transformer.
        dataset: Its images.
        per_class: Samples of each class.
    """
    options = run.config.gpt
    weights = GUIDANCES if options.conditional and options.class_dropout else GUIDANCES[:1]
    found = {}
    for weight in weights:
        changed = dataclasses.replace(run.config.sample, guidance=weight, per_class=per_class)
        _, found[weight] = draw(Run(run.folder, dataclasses.replace(run.config, sample=changed)))
    train = _rows(to_intensities(dataset.train_images))
    first = found[weights[0]]
    samples = _rows(np.concatenate(list(first.values())))
    distances, indices = nearest_training(train, samples)
    of_test = nearest_training(train, _rows(to_intensities(dataset.test_images[:_TEST_IMAGES]))).distances
    nearest = np.split(to_intensities(dataset.train_images[indices]), len(first))
    pixels = train.shape[1] ** 0.5
    return Guided(
        found,
        dict(zip(first, nearest, strict=True)),
        float(distances.mean() / pixels),
        float(of_test.mean() / pixels),
        options.conditional,
    )


def samples_section(guided: Guided) -> Section:
    """A table of pictures: a row for each class, a column for each guidance, and one of training images."""
    columns = [f"guidance {weight:g}" if weight != 1 else "no guidance" for weight in guided.by_guidance]
    rows = []
    for name, nearest in guided.nearest.items():
        cells = [
            (each[name], f"{name}, {column}") for column, each in zip(columns, guided.by_guidance.values(), strict=True)
        ]
        cells.append((nearest, f"{name}, training images nearest to those without guidance"))
        rows.append((name, [picture(sheet(images, len(images)), alt) for images, alt in cells]))
    several = len(columns) > 1
    guidance = " Guidance above 1 makes them more clearly of their class, and less varied." if several else ""
    said = [
        f"Samples of the Transformer, decoded.{guidance}",
        "The last column has, for each sample without guidance, the training image with the smallest difference of pixels. The "
        f"samples are {guided.distance:.3g} away from theirs, root mean square in intensity; test images are "
        f"{guided.test_distance:.3g} away from theirs. Samples that were much nearer than test images would be copies.",
    ]
    heads = ["class" if guided.by_class else "sample", *columns, "nearest training images"]
    title = "Samples" + " by class" * guided.by_class + " and guidance" * several
    return Section("samples", title, "samples.html", {"paragraphs": said, "columns": heads, "rows": rows})


def _rows(images: Float[np.ndarray, "n H W C"]) -> Float[np.ndarray, "n p"]:
    return images.reshape(len(images), -1)
