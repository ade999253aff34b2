"""Figures of benchmarks.tokenizer and benchmarks.encoding."""

import pathlib
from collections.abc import Sequence

from benchmarks.common.rows import Row, select
from benchmarks.tokenizer.tables import steps


def ladder(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws the ladder, with the continuous VAE and the VQ-VAE as lines.

    Args:
        rows: Of the study.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    sizes = [k for k in sorted({row["codes"] for row in rows if row["case"] == "scores"}) if steps(rows, k)]
    if not sizes:  # a part of the study without our own systems
        return
    figure, axes = pyplot.subplots(1, len(sizes), figsize=(6 * len(sizes), 4), sharex=True, squeeze=False)
    for axis, k in zip(axes[0], sizes, strict=True):
        found = steps(rows, k)
        values = [row["value"] for _, row in found]
        errors = [[row["value"] - row["low"] for _, row in found], [row["high"] - row["value"] for _, row in found]]
        axis.barh([label for label, _ in found], values, xerr=errors, color="tab:blue", alpha=0.7)
        vqvae = {"system": "vqvae", "decoder": "end-to-end", "codes": k}
        for label, style, fields in (
            ("continuous VAE", "k-", {"system": "vae", "assign": "-"}),
            ("VQ-VAE, end to end", "r-", vqvae | {"assign": "euclidean"}),
            ("VQ-VAE with joint", "y--", vqvae | {"assign": "joint"}),
            ("VQ-VAE fine-tuned, joint", "g:", vqvae | {"decoder": "finetuned", "assign": "joint"}),
        ):
            for row in select(rows, case="scores", score="psnr", **fields):
                axis.axvline(row["value"], color=style[0], linestyle=style[1:], label=label)
        axis.invert_yaxis()
        axis.set_xlim(min(values) - 0.5, None)
        axis.set_xlabel("PSNR, dB")
        axis.set_title(f"K = {k}")
        axis.legend(fontsize="small", loc="upper right")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def speed(rows: Sequence[Row], path: pathlib.Path) -> None:
    """Draws quality against encoding speed, without ways that are more than 5 dB below the VAE.

    Args:
        rows: Of benchmarks.encoding.
        path: The PNG to write.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    of = {
        score: {row.get("assign"): row["value"] for row in rows if row["score"] == score}
        for score in ("psnr", "images_per_second")
    }
    figure, axis = pyplot.subplots(figsize=(7, 4))
    for name, value in of["images_per_second"].items():
        if of["psnr"].get(name, 0) > of["psnr"][None] - 5:
            axis.plot(value, of["psnr"][name], "o", label=str(name))
    axis.axhline(of["psnr"][None], color="black", linewidth=1, label="continuous VAE")
    axis.set_xscale("log")
    axis.set_xlabel("images a second, encoder included")
    axis.set_ylabel("PSNR, dB")
    axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
