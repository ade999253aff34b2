"""The tables of benchmarks.generation and benchmarks.study."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
Table = tuple[list[str], list[list[object]]]

ORIGINAL = {
    "1 Euclidean medoids": (8.9272, 0.3641, 0.4875, 3.55e8),
    "2 Euclidean medoids, K = 1024, large": (8.7034, 0.3460, 0.4995, 3.14e8),
    "3 geodesic medoids": (8.2531, 0.3298, 0.4894, 3.40e5),
}
"""What the original study printed: PSNR, SSIM, LPIPS, quantization error, the last in another unit for each metric."""

CONTROLS = ("real", "real, blurred", "mean image")


def mean_of(rows: Sequence[Row], **wanted: object) -> float | None:
    """Mean over seeds of the rows with these fields; None where there is none."""
    found = [r["value"] for r in rows if all(r.get(name) == value for name, value in wanted.items())]
    return float(np.mean(found)) if found else None


def _experiments(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r["experiment"] for r in rows if "experiment" in r))


def legacy(rows: Sequence[Row]) -> Table:
    """Generated images beside unrelated test images, and errors in the unit of each: latent², or intensity² along paths.

    The original study's errors seem to be sums over all tokens; ours are means of one.
    """
    cells: list[list[object]] = []
    for control in CONTROLS:
        found = [mean_of(rows, case="unpaired", system=control, score=score) for score in ("psnr", "ssim", "lpips")]
        cells.append([f"({control})", *found, None, *(None,) * 4])
    for name in _experiments(rows):
        found = [mean_of(rows, case="unpaired", experiment=name, score=score) for score in ("psnr", "ssim", "lpips")]
        own = "squared_geodesic_error" if name.startswith("3") else "latent_error"
        error = mean_of(rows, case="errors", experiment=name, score=own)
        cells.append([name, *found, error, *ORIGINAL.get(name, (None,) * 4)])
    names = ["PSNR", "SSIM", "LPIPS", "error, own unit"]
    heads = ["experiment", *names, *(f"{name} then" for name in names)]
    return heads, cells


def honest(rows: Sequence[Row]) -> Table:
    """Paired reconstructions, errors in common units, likelihood, and samples beside real images."""
    cells: list[list[object]] = []
    for name in _experiments(rows):
        one = {"experiment": name}
        sampled = one | {"case": "samples", "guidance": 1.0}
        cells.append(
            [
                name,
                next(r["epochs"] for r in rows if r.get("experiment") == name),
                *(mean_of(rows, case="reconstructions", score=score, **one) for score in ("psnr", "lpips")),
                *(
                    mean_of(rows, case="errors", score=score, **one)
                    for score in ("latent_error", "metric_error", "geodesic_error")
                ),
                mean_of(rows, case="likelihood", model="Transformer", score="nats_per_token", position=None, **one),
                *(
                    mean_of(rows, score=score, **sampled)
                    for score in ("frechet", "precision", "recall", "class_accuracy")
                ),
            ]
        )
    heads = ["experiment", "epochs", "PSNR dB", "LPIPS", "latent²", "ΔᵀGΔ", "geodesic", "nats a token"]
    return [*heads, "Fréchet", "precision", "recall", "class"], cells
