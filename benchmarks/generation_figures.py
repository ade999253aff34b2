"""Figures of benchmarks.generation."""

import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks.generation_tables import mean_of

Row = dict[str, Any]


def trade(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws how good samples are against how well tokens reconstruct, and against how well they are predicted.

    Args:
        rows: Of benchmarks.generation.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5))
    for name in dict.fromkeys(r["tokens"] for r in rows if "tokens" in r):
        frechet = mean_of(rows, case="samples", tokens=name, score="frechet", guidance=1.0)
        nats = mean_of(rows, case="likelihood", tokens=name, model="Transformer", score="nats_per_token", position=None)
        psnr = mean_of(rows, case="reconstructions", tokens=name, score="psnr")
        for axis, x in ((left, psnr), (right, nats)):
            axis.plot(x, frechet, "o")
            axis.annotate(f" {name}", (x, frechet), fontsize="small")
    for bracket, style in (("real", "k-"), ("vae", "k:")):
        level = mean_of(rows, case="bracket", system=bracket, score="frechet")
        for axis in (left, right):
            axis.axhline(level, color=style[0], linestyle=style[1:], label=f"{bracket} images")
    left.set(xlabel="PSNR of reconstructions, dB", ylabel="Fréchet distance of samples", yscale="log")
    right.set(xlabel="nats per token on test images", ylabel="Fréchet distance of samples", yscale="log")
    left.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
