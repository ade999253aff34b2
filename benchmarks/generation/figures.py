"""Pictures of the generation study."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.common.rows import PLAIN, Row, judged_by, mean_of, names_of, nats_of
from benchmarks.generation.measure import Measured
from benchmarks.generation.schedules import ScheduleName
from train.evaluation.report import save_grid

DRAWN = ("euclidean-euclidean", "vqvae-euclidean", "metric-joint-finetuned")
"""Systems whose confusion matrices and nearest training images are drawn."""

_MARKERS = {"finetuned": "s", "perceptual": "D"}
"""Of decoders; others have a circle."""


def draw(schedule: ScheduleName, path: pathlib.Path, found: Measured) -> None:
    """Draws what a schedule shows, into files whose names begin as that of its results file.

    Args:
        schedule: Its name.
        path: Of the results file, without an ending.
        found: What was measured.
    """
    if not found.pictures:
        return
    side_by_side(found.pictures, path.with_name(f"{path.name}_samples.png"))
    if schedule == "generation":
        trade(found.rows, path.with_name(f"{path.name}_trade.png"))
        confusion(found.rows, found.classes, path.with_name(f"{path.name}_confusion.png"))
        confused(found.rows, found.pictures, found.classes, path.with_name(f"{path.name}_confused.png"))
        copies(found.nearest, path.with_name(f"{path.name}_nearest.png"))


def trade(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws the Fréchet distance of samples over the PSNR of reconstructions, and over nats per token.

    A colour stands for a Transformer, a marker for a decoder.

    Args:
        rows: Of benchmarks.generation.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5), sharey=True)
    colours = {name: pyplot.colormaps["tab20"](number) for number, name in enumerate(names_of(rows, "transformer"))}
    for name in names_of(rows, "name"):
        one = next(row for row in rows if row.get("name") == name)
        colour, marker = colours[one["transformer"]], _MARKERS.get(one["decoder"], "o")
        frechet = mean_of(rows, case="samples", name=name, score="frechet", **PLAIN)
        nats = nats_of(rows, "Transformer", name=name)
        psnr = mean_of(rows, case="reconstructions", name=name, score="psnr")
        for axis, x in ((left, psnr), (right, nats)):
            axis.plot(x, frechet, marker, color=colour, label=name)
    for bracket, style, label in (("real", "k-", "(real images)"), ("vae", "k:", "(the VAE's)")):
        level = mean_of(rows, case="bracket", system=bracket, score="frechet")
        for axis in (left, right):
            axis.axhline(level, color=style[0], linestyle=style[1:], label=label)
    left.set(xlabel="PSNR of reconstructions, dB", ylabel="Fréchet distance of samples", yscale="log")
    right.set(xlabel="nats per token on test images", yscale="log")
    figure.suptitle(judged_by(rows), fontsize="small")
    right.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def side_by_side(pictures: Mapping[str, Float[np.ndarray, "classes n H W C"]], path: pathlib.Path) -> None:
    """Shows two images of every class, classes side by side, a set below the other.

    Args:
        pictures: Images of each class, by set.
        path: The PNG to write.
    """
    save_grid(path, {name: shown[:, :2].reshape(-1, *shown.shape[2:]) for name, shown in pictures.items()})


def confusion_matrix(rows: Sequence[Row], classes: int, **wanted: Any) -> Float[np.ndarray, "asked seen"]:
    """Part of the images of each class that is seen as each class, mean over seeds; zeros where there are no such rows."""
    return np.array(
        [
            [mean_of(rows, score="fraction", asked=asked, seen=seen, **wanted) or 0.0 for seen in range(classes)]
            for asked in range(classes)
        ]
    )


def most_confused(matrix: Float[np.ndarray, "asked seen"]) -> tuple[int, int]:
    """The two classes that are taken for each other most often."""
    both = np.triu(matrix + matrix.T, 1)
    first, second = np.unravel_index(both.argmax(), both.shape)
    return int(first), int(second)


def _real(rows: Sequence[Row], classes: int) -> Float[np.ndarray, "asked seen"]:
    return confusion_matrix(rows, classes, case="bracket", system="real")


def confusion(rows: Sequence[Row], names: Sequence[str], path: pathlib.Path) -> None:
    """Draws confusion matrices side by side: of real images, and of samples of some kinds of tokens.

    Args:
        rows: Of benchmarks.generation.
        names: Of the classes.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    matrices = {"real images": _real(rows, len(names))} | {
        f"samples, {name}": confusion_matrix(rows, len(names), case="samples", name=name)
        for name in DRAWN
        if mean_of(rows, case="samples", name=name, score="class_accuracy") is not None
    }
    figure, axes = pyplot.subplots(1, len(matrices), figsize=(6 * len(matrices), 5.5), squeeze=False)
    for axis, (caption, matrix) in zip(axes[0], matrices.items(), strict=True):
        axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        for (asked, seen), part in np.ndenumerate(matrix):
            if part >= 0.005:
                colour = "white" if part > 0.5 else "black"
                axis.text(seen, asked, f"{part:.2f}", ha="center", va="center", fontsize="x-small", color=colour)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize="small")
        axis.set_yticks(range(len(names)), names, fontsize="small")
        axis.set(xlabel="seen as", ylabel="asked for", title=caption)
    figure.suptitle(judged_by(rows), fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def confused(
    rows: Sequence[Row],
    pictures: Mapping[str, Float[np.ndarray, "classes n H W C"]],
    names: Sequence[str],
    path: pathlib.Path,
) -> None:
    """Shows the two classes that real images are confused in most, of every set of images.

    Args:
        rows: Of benchmarks.generation.
        pictures: Images of each class, by set.
        names: Of the classes.
        path: The PNG to write.
    """
    labels = most_confused(_real(rows, len(names)))
    save_grid(path, {f"{names[label]}, {what}": shown[label] for label in labels for what, shown in pictures.items()})


def copies(nearest: Mapping[str, Float[np.ndarray, "2 n H W C"]], path: pathlib.Path) -> None:
    """Shows the samples that are nearest to training images, and these training images below.

    Args:
        nearest: Samples and training images, by system; all are drawn where none is in DRAWN.
        path: The PNG to write.
    """
    drawn = {name: nearest[name] for name in DRAWN if name in nearest} or nearest
    rows: dict[str, np.ndarray] = {}
    for name, (samples, training) in drawn.items():
        rows |= {name: samples, f"{name}, training images": training}
    save_grid(path, rows)
