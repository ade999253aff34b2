"""The tables of benchmarks.study."""

from collections.abc import Sequence

from benchmarks.common.means import PLAIN, Table, interval_of, mean_of, names_of, nats_of, seeds_of
from benchmarks.common.rows import Row

ORIGINAL = {
    "1 Euclidean medoids": (8.9272, 0.3641, 0.4875, 3.55e8),
    "2 Euclidean medoids, K = 1024, large": (8.7034, 0.3460, 0.4995, 3.14e8),
    "3 geodesic medoids": (8.2531, 0.3298, 0.4894, 3.40e5),
}
"""What the original study printed: PSNR, SSIM, LPIPS, quantization error, the last in another unit for each metric."""

RISING = {"guidance": 2.0, "rises": True}
"""Fields of samples under guidance that rises from 1 to 2."""

CONTROLS = ("real", "real, blurred", "mean image")


def legacy(rows: Sequence[Row]) -> Table:
    """Generated images beside unrelated test images, and errors in the unit of each: latent², or intensity² along paths.

    The original study's errors seem to be sums over all tokens; ours are means of one.
    """
    cells: list[list[object]] = []
    for control in CONTROLS:
        found = [mean_of(rows, case="unpaired", system=control, score=score) for score in ("psnr", "ssim", "lpips")]
        cells.append([f"({control})", None, *found, None, *(None,) * 4])
    for name in names_of(rows, "experiment"):
        found = [mean_of(rows, case="unpaired", experiment=name, score=score) for score in ("psnr", "ssim", "lpips")]
        geodesic = next(r["codebook"] for r in rows if r.get("experiment") == name) == "geodesic"
        own = "squared_geodesic_error" if geodesic else "latent_error"
        error = mean_of(rows, case="errors", experiment=name, score=own)
        cells.append([name, _seeds(rows, name), *found, error, *ORIGINAL.get(name, (None,) * 4)])
    heads = ["experiment", "seeds", "PSNR", "SSIM", "LPIPS", "error of a token, own unit"]
    return [*heads, "PSNR then", "SSIM then", "LPIPS then", "error then, own unit, a sum"], cells


def honest(rows: Sequence[Row]) -> Table:
    """Paired reconstructions, errors in common units, likelihood, and samples beside real images."""
    cells: list[list[object]] = []
    for name in names_of(rows, "experiment"):
        one = {"experiment": name}
        sampled, guided = (one | {"case": "samples", **weight} for weight in (PLAIN, RISING))
        cells.append(
            [
                name,
                _seeds(rows, name),
                next(r["epochs"] for r in rows if r.get("experiment") == name),
                *(mean_of(rows, case="reconstructions", score=score, **one) for score in ("psnr", "ssim", "lpips")),
                *(
                    mean_of(rows, case="errors", score=score, **one)
                    for score in ("latent_error", "metric_error", "geodesic_error")
                ),
                nats_of(rows, "Transformer", **one),
                interval_of(rows, score="frechet", **sampled),
                *(mean_of(rows, score=score, **sampled) for score in ("precision", "recall", "class_accuracy")),
                mean_of(rows, score="frechet", **guided),
            ]
        )
    heads = ["experiment", "seeds", "epochs", "PSNR dB", "SSIM", "LPIPS", "latent²", "ΔᵀGΔ", "geodesic", "nats a token"]
    return [*heads, "Fréchet (95%)", "precision", "recall", "class", "Fréchet, guidance 1 to 2"], cells


def _seeds(rows: Sequence[Row], name: str) -> int:
    """How many seeds of the Transformer a row of the tables is of."""
    return seeds_of(rows, case="likelihood", model="Transformer", position=None, experiment=name)
