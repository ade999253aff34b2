"""What benchmarks.generation measures of images that no Transformer made, which its other scores lie between."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter

from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.models.spatial_vae import callables
from geovq.scores import reconstruction as scores
from geovq.validation import check_images
from train.evaluation.judge import Judge, confusion, diversity, set_rows
from train.evaluation.scoring import Row, row
from train.run.folder import Run
from train.stages import inputs as stages
from train.stages import networks

SHOWN = 10
"""Images of each class in pictures, at most."""

UNPAIRED = 2000
"""The first test images, which samples are set beside without being like them, and whose tokens' errors are measured."""

BLUR = 2.0
"""Standard deviation of the blur in pixels."""


class Validation(NamedTuple):
    """Validation images: what sets are at best. No network was trained on them, though best epochs are chosen by them."""

    images: Float[np.ndarray, "n H W C"]
    labels: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, run: Run, count: int) -> "Validation":
        """The first validation images."""
        dataset = stages.images(run.config.data).dataset
        return cls(check_images(dataset.val_images[:count]), dataset.val_labels[:count])


def controls(run: Run, judge: Judge, validation: Validation) -> list[Row]:
    """Between what scores are: real images, those that the classifier was trained on, and, unpaired, blurred ones."""
    dataset, count = stages.images(run.config.data).dataset, len(validation.images)
    trained = check_images(dataset.train_images[:count])
    fields: Row = {"case": "bracket", "system": "real"}
    seen = judge.look(validation.images)
    rows = set_rows(fields, judge, seen, validation.labels)
    rows.append(diversity(fields, validation.images, validation.labels))
    rows += confusion(fields, judge, seen, validation.labels)
    rows += set_rows(fields | {"system": "real, trained on"}, judge, judge.look(trained), dataset.train_labels[:count])
    blurred = gaussian_filter(validation.images, (0, BLUR, BLUR, 0))
    mean = np.broadcast_to(trained.mean(axis=0), validation.images.shape)
    for system, images in {"real": validation.images, "real, blurred": blurred, "mean image": mean}.items():
        rows += unpaired({"system": system}, images, run)
    return rows


def of_vae(run: Run, judge: Judge, validation: Validation) -> list[Row]:
    """What a set of the VAE's own reconstructions scores."""
    encode, decode = callables(networks.trained_vae(run, validation.images.shape[1:]))
    decoded = decode_latents(decode, encode_images(encode, validation.images))
    fields: Row = {"case": "bracket", "system": "vae"}
    return [
        *set_rows(fields, judge, judge.look(decoded), validation.labels),
        diversity(fields, decoded, validation.labels),
    ]


def gallery(
    images: Float[np.ndarray, "n H W C"], labels: Int[np.ndarray, " n"], classes: int
) -> Float[np.ndarray, "classes SHOWN H W C"]:
    """The first images of each class, black where there are too few."""
    shown = np.zeros((classes, SHOWN, *images.shape[1:]), np.float32)
    for label in range(classes):
        some = images[labels == label][:SHOWN]
        shown[label, : len(some)] = some
    return shown


def unpaired(fields: Row, images: Float[np.ndarray, "n H W C"], run: Run) -> list[Row]:
    """The original study's protocol: images beside test images that have nothing to do with them.

    It rewards blur: that is what `controls` are for.
    """
    others = check_images(stages.images(run.config.data).dataset.test_images[: min(UNPAIRED, len(images))])
    images, fields = images[: len(others)], fields | {"case": "unpaired"}
    measures = {"psnr": scores.psnr, "ssim": scores.ssim, "lpips": scores.lpips}
    return [row(fields, name, score(others, images)) for name, score in measures.items()]
