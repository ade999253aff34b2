"""How the results of benchmarks.tokenizer are shown: tables, and the picture of the ladder."""

import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks.common.harness import markdown
from benchmarks.common.rows import Row, maybe, row_of, select, value_of

_SCORES = (
    "psnr",
    "ssim",
    "lpips",
    "usage",
    "perplexity",
    "latent_error",
    "metric_error",
    "geodesic_error",
    "image_error",
)

_HEADLINE: tuple[tuple[str, dict[str, str]], ...] = (
    ("the VAE, not quantized", {"system": "vae", "assign": "-"}),
    ("FSQ, trained end to end", {"system": "fsq", "assign": "euclidean"}),
    ("VQ-VAE, trained end to end", {"system": "vqvae", "decoder": "end-to-end", "assign": "euclidean"}),
    ("VQ-VAE, `joint` assignment", {"system": "vqvae", "decoder": "end-to-end", "assign": "joint"}),
    ("VQ-VAE, `joint`, decoder fine-tuned", {"system": "vqvae", "decoder": "finetuned", "assign": "joint"}),
    ("ours, k-means, `euclidean`", {"system": "ours", "codebook": "kmeans", "assign": "euclidean"}),
    ("ours, `refined`, `whitened`", {"system": "ours", "codebook": "refined", "assign": "whitened"}),
    ("ours, `refined`, `amortised`", {"system": "ours", "codebook": "refined", "assign": "amortised"}),
    ("ours, `refined`, `joint`", {"system": "ours", "codebook": "refined", "assign": "joint"}),
    ("ours, `joint`, decoder fine-tuned", {"system": "ours", "decoder": "finetuned", "assign": "joint"}),
)
"""The rows by which a newcomer sees how well it does, and the fields of each."""


def headline(rows: list[Row]) -> str:
    """The systems that matter most, with K = 512: PSNR with its interval, SSIM and LPIPS."""
    cells: list[list[Any]] = []
    for label, fields in _HEADLINE:
        of: dict[str, Any] = {"case": "scores", "codes": 0 if fields["system"] == "vae" else 512, **fields}
        psnr, ssim, lpips = (row_of(rows, score=score, **of) for score in ("psnr", "ssim", "lpips"))
        interval = f"{psnr['low']:.2f} to {psnr['high']:.2f}"
        cells.append([label, psnr["value"], interval, ssim["value"], lpips["value"]])
    return markdown(["system", "PSNR dB", "95% interval", "SSIM", "LPIPS"], cells)


_FRONT: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("k-means codes, `Nearest`", "our VAE", {"system": "ours", "codebook": "kmeans", "assign": "euclidean"}),
    ("VQ-VAE", "VQ-VAE", {"system": "vqvae", "decoder": "end-to-end", "assign": "euclidean"}),
    ("GeoVQ: `refined` codes, `Joint`", "our VAE", {"system": "ours", "codebook": "refined", "assign": "joint"}),
    ("VQ-VAE with `Joint`", "VQ-VAE", {"system": "vqvae", "decoder": "end-to-end", "assign": "joint"}),
    ("no quantization", "our VAE", {"system": "vae", "assign": "-"}),
)
"""The five rows of the README: what is quantized and how, the network, and the fields of its rows."""


def front(rows: list[Row]) -> str:
    """The five rows of the README, with K = 512: PSNR with its interval, and LPIPS."""
    cells: list[list[Any]] = []
    for label, network, fields in _FRONT:
        of: dict[str, Any] = {"case": "scores", "codes": 0 if fields["system"] == "vae" else 512, **fields}
        psnr, lpips = (row_of(rows, score=score, **of) for score in ("psnr", "lpips"))
        cells.append([label, network, psnr["value"], f"{psnr['low']:.2f} to {psnr['high']:.2f}", lpips["value"]])
    return markdown(["tokens", "network", "PSNR dB", "95% interval", "LPIPS"], cells)


_CHOICE = (
    ("the best images", "`Joint()`", "joint"),
    ("most of that, fast", "`Amortised()`", "amortised"),
    ("the speed of the encoder", "`Whitened()`", "whitened"),
)
"""The three rows of the README: what is wanted, the assigner, and its name in the results."""


def choice(rows: list[Row]) -> str:
    """Which assigner to take: quality and speed of three, by benchmarks.encoding."""
    cells = [
        [
            wanted,
            assigner,
            value_of(rows, score="psnr", assign=name),
            value_of(rows, score="images_per_second", assign=name),
            value_of(rows, score="ratio", assign=name, peer="encoder"),
        ]
        for wanted, assigner, name in _CHOICE
    ]
    return markdown(["you want", "take", "PSNR dB", "images a second", "time / encoder's"], cells)


def reached(rows: list[Row]) -> str:
    """What the study set out to reach: differences with their intervals, and what was wanted; of LPIPS less is better."""
    cells = []
    for row in select(rows, case="comparison"):
        unit, sign = {"psnr_difference": ("dB", 1), "lpips_difference": ("LPIPS", -1), "part": ("part", 1)}[
            row["score"]
        ]
        bar, there = row["bar"], None
        if bar is not None:
            there = "yes" if sign * row["value"] >= sign * bar else "no"
            bar = f"at {'least' if sign > 0 else 'most'} {bar:g}"
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        cells.append([row["codes"], row["name"], unit, row["value"], interval, bar, there, row["n"], row["seeds"]])
    heads = ["K", "difference", "of", "mean", "95% interval", "wanted", "reached", "images", "seeds"]
    return markdown(heads, cells)


def ladder(rows: list[Row]) -> str:
    """What each step from plain codes to fine-tuned tokens wins or loses, beginning with the VAE."""
    cells: list[list[Any]] = []
    vae = maybe(rows, case="scores", score="psnr", system="vae", assign="-")
    for k in sorted({row["codes"] for row in rows if row["case"] == "scores"}):
        found = steps(rows, k)
        before = vae if found else None
        if before is not None:
            cells.append([k, "continuous VAE", before, None])
        for label, row in found:
            cells.append([k, label, row["value"], None if before is None else row["value"] - before])
            before = row["value"]
    return markdown(["K", "step", "PSNR dB", "over the one before, dB"], cells)


def systems(rows: list[Row]) -> str:
    """All scores of the other systems, of fine-tuned decoders, and of two codes a token."""
    scores = [row for row in rows if row["case"] == "scores"]
    compared = [r for r in scores if r["system"] != "ours" or r["decoder"] != "frozen" or r["codes_per_token"] > 1]
    return _scores(compared)


def codebooks(rows: list[Row]) -> str:
    """All scores of the frozen VAE with one code a token: every codebook with every assignment."""
    return _scores(select(rows, case="scores", system="ours", decoder="frozen", codes_per_token=1))


def meaning(rows: list[Row]) -> str:
    """What codes say of the class, how stable they are across seeds, and how robust to noise."""
    cases: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        if row["case"] == "semantics":
            cases.setdefault((row["codes"], row["codebook"]), {})[row["score"]] = row["value"]
    names = {
        "class_nmi": "NMI with classes",
        "class_purity": "purity",
        "stability_ami": "AMI between seeds",
        "kept_under_noise": "kept under noise",
    }
    cells = [[*case, *(found.get(score) for score in names)] for case, found in cases.items()]
    return markdown(["K", "codebook", *names.values()], cells)


def _scores(rows: list[Row]) -> str:
    keys = ("codes", "system", "decoder", "codebook", "assign", "codes_per_token", "probes")
    cases: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        cases.setdefault(tuple(row[key] for key in keys), {})[row["score"]] = row["value"]
    shown = [score for score in _SCORES if any(score in found for found in cases.values())]
    names = {"psnr": "PSNR dB", "ssim": "SSIM", "lpips": "LPIPS", "latent_error": "latent²", "metric_error": "ΔᵀGΔ"}
    names |= {"geodesic_error": "geodesic", "image_error": "decoded error"}
    columns = [
        "K",
        "system",
        "decoder",
        "codebook",
        "assign",
        "codes a token",
        "probes",
        *(names.get(s, s) for s in shown),
    ]
    return markdown(columns, [[*case, *(found.get(score) for score in shown)] for case, found in cases.items()])


LADDER = (
    ("k-means, euclidean", {"codebook": "kmeans", "assign": "euclidean", "decoder": "frozen"}),
    ("whitened codes, whitened", {"codebook": "whitened", "assign": "whitened", "decoder": "frozen"}),
    ("metric means, whitened", {"codebook": "metric", "assign": "whitened", "decoder": "frozen"}),
    ("refined, whitened-position", {"codebook": "refined", "assign": "whitened-position", "decoder": "frozen"}),
    ("refined, local", {"codebook": "refined", "assign": "local", "decoder": "frozen"}),
    ("refined, amortised", {"codebook": "refined", "assign": "amortised", "decoder": "frozen"}),
    ("refined, joint", {"codebook": "refined", "assign": "joint", "decoder": "frozen"}),
    ("refined, greedy", {"codebook": "refined", "assign": "greedy", "decoder": "frozen"}),
    ("fine-tuned, joint", {"assign": "joint", "decoder": "finetuned"}),
    ("fine-tuned, greedy", {"assign": "greedy", "decoder": "finetuned"}),
)
"""The steps from plain post-hoc codes to the best, and the fields of their rows."""


def steps(rows: Sequence[Row], k: int) -> list[tuple[str, Row]]:
    """The ladder's rows of PSNR that there are, for one K."""
    found = []
    for label, fields in LADDER:
        of: dict[str, Any] = {"case": "scores", "score": "psnr", "system": "ours", "codes": k, **fields}
        found += [(label, row) for row in select(rows, **of)]
    return found


def draw_ladder(rows: Sequence[Row], path: pathlib.Path) -> None:
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
