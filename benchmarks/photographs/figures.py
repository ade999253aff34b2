"""Pictures of benchmarks.photographs: curves of rate and quality, photographs with a magnified part, and where the errors are."""

import functools
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.common.published import Published
from benchmarks.common.rows import Row, mean_of, names_of, select
from benchmarks.photographs.bounds import encoded
from benchmarks.photographs.schedules import Schedule
from benchmarks.photographs.scoring import decoded, images_of
from benchmarks.photographs.systems import AUTOENCODER, EUCLIDEAN, System
from geovq.validation import check_images

_ENLARGED, _TIMES = 48, 4
"""Pixels of the sides of the magnified part, and how often each is shown."""

_ERROR_AT_WHITE = 0.3
"""Root mean squared error of a pixel over its colours that a map shows in full."""

_CURVES = {
    ("kmeans", "own"): ("k-means", "o-"),
    ("default", "whitened"): ("Whitened", "s-"),
    ("default", "joint"): ("Joint", "D-"),
    ("uniform", "own"): ("uniform levels", "x:"),
    ("quantile", "own"): ("quantile bins", "+:"),
    ("gaussian", "own"): ("Gaussian codes", "1:"),
    ("beam", "own"): ("faiss, beam", "2:"),
    ("lsq", "own"): ("faiss, LSQ", "3:"),
}


_PHOTOGRAPHS = 3
"""That are shown, evenly out of all, so that nobody chose them."""

_SHOWN = {
    EUCLIDEAN: "k-means, nearest codes",
    System("default", "whitened"): "Whitened",
    System("default", "joint"): "Joint",
    System("default", "joint-lpips"): "Joint with LPIPS",
}


def curves(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws PSNR and LPIPS over bits a pixel, one column for each autoencoder.

    Args:
        rows: Of benchmarks.photographs.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = select(rows, case="photographs")
    autoencoders = names_of(found, "autoencoder")
    figure, axes = pyplot.subplots(2, len(autoencoders), figsize=(5 * len(autoencoders), 8), sharex=True, squeeze=False)
    for column, autoencoder in enumerate(autoencoders):
        some = select(found, autoencoder=autoencoder)
        sides: list[int | None] = [each["side"] for each in some]
        side = max(dict.fromkeys(sides), key=lambda side: len(_points(some, side, "kmeans", "own", "psnr")))
        for axis, score in zip(axes[:, column], ("psnr", "lpips"), strict=True):
            for (codebook, assign), (label, style) in _CURVES.items():
                points = _points(some, side, codebook, assign, score)
                if points:
                    axis.plot(*zip(*points, strict=True), style, label=label)
            bound = mean_of(rows, case="bound", autoencoder=autoencoder, side=side, way="continuous", score=score)
            axis.axhline(bound, color="black", linewidth=0.8, label="continuous latents")
        axes[0, column].set(title=f"{autoencoder}, {side} x {side} pixels", ylabel="PSNR, dB")
        axes[1, column].set(xlabel="bits a pixel", ylabel="LPIPS (AlexNet)", xscale="log")
    axes[0, 0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _points(rows: Sequence[Row], side: int | None, codebook: str, assign: str, score: str) -> list[tuple[float, float]]:
    """Bits a pixel and a score, by rising bits."""
    some = select(rows, side=side, codebook=codebook, assign=assign)
    bits = {(each["codes"], each["codes_per_token"]): each["value"] for each in select(some, score="bits_per_pixel")}
    found = []
    for (codes, count), value in bits.items():
        mean = mean_of(some, codes=codes, codes_per_token=count, score=score)
        if mean is not None:
            found.append((value, mean))
    return sorted(found)


def draw(published: Published, schedule: Schedule, rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws all pictures of a schedule, into files whose names begin as that of its results file.

    Args:
        published: Folders.
        schedule: What was measured; images of its `shown` codes are, the largest that there are.
        rows: What was found.
        path: Of the results file, without an ending.
    """
    curves(rows, path.with_name(f"{path.name}_curves.png"))
    studies = [each for each in schedule.studies if (each.autoencoder, each.rate) == (AUTOENCODER, schedule.shown)]
    study = max(studies, key=lambda each: each.crops.side or math.inf)
    numbers = range(0, study.crops.photographs, max(1, study.crops.photographs // _PHOTOGRAPHS))[:_PHOTOGRAPHS]
    originals = [images_of(published, "kodak", study.crops)[i] for i in numbers]
    decode = functools.partial(encoded, *published.vae(study.autoencoder))
    shown = {
        "original": [check_images(image)[0] for image in originals],
        "continuous latents": [decode(check_images(image))[0] for image in originals],
    }
    for system, label in _SHOWN.items():
        if system in study.systems:
            shown[label] = [image[0] for image in decoded(published, study, system, numbers)]
    photographs(shown, path.with_name(f"{path.name}_pictures.png"))
    error_maps(shown, path.with_name(f"{path.name}_errors.png"))


def photographs(shown: Mapping[str, Sequence[np.ndarray]], path: pathlib.Path) -> None:
    """Draws photographs side by side, one row for each, with the part whose detail is finest magnified below.

    Args:
        shown: Images (H, W, 3) in [0, 1] of one size by what became of them; the first are the originals.
        path: The PNG to write.
    """
    rows = []
    for number in range(len(next(iter(shown.values())))):
        row = [images[number] for images in shown.values()]
        top, left = busiest(row[0], _ENLARGED)
        parts = [image[top : top + _ENLARGED, left : left + _ENLARGED] for image in row]
        rows += [row, [part.repeat(_TIMES, 0).repeat(_TIMES, 1) for part in parts]]
    _save(rows, list(shown), path)


def error_maps(shown: Mapping[str, Sequence[np.ndarray]], path: pathlib.Path) -> None:
    """Draws where the errors are, as brightness; arguments as `photographs`."""
    (_, originals), *others = shown.items()
    rows = [
        [original, *(_error(original, images[number]) for _, images in others)]
        for number, original in enumerate(originals)
    ]
    _save(rows, list(shown), path)


def busiest(image: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the part of an image (H, W, 3) whose neighbouring pixels differ most, on a lattice of half a part."""
    grey = image.mean(axis=2)
    detail = np.zeros_like(grey)
    detail[:-1, :-1] = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    corners = [
        (top, left)
        for top in range(0, image.shape[0] - side + 1, side // 2)
        for left in range(0, image.shape[1] - side + 1, side // 2)
    ]
    return max(corners, key=lambda corner: detail[corner[0] : corner[0] + side, corner[1] : corner[1] + side].sum())


def _error(original: np.ndarray, image: np.ndarray) -> np.ndarray:
    error = np.sqrt(((original - image) ** 2).mean(axis=2, keepdims=True)) / _ERROR_AT_WHITE
    return np.clip(error, 0, 1).repeat(3, axis=2)


def _save(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    heights = [row[0].shape[0] / row[0].shape[1] for row in rows]
    figure, axes = pyplot.subplots(
        len(rows), len(titles), figsize=(2.7 * len(titles), 2.7 * sum(heights)), height_ratios=heights, squeeze=False
    )
    for line, row in zip(axes, rows, strict=True):
        for axis, image in zip(line, row, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize="small")
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
