"""The README's tables of benchmarks.tokenizer and benchmarks.encoding."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.tokenizer_rows import steps

Row = dict[str, Any]
Markdown = Callable[[Sequence[str], Sequence[Sequence[object]]], str]

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


def study(rows: list[Row], markdown: Markdown) -> str:
    """What was reached, the systems, the codebooks with every assignment, and what codes mean."""
    scores = [row for row in rows if row["case"] == "scores"]
    parts = {"What the study set out to reach": _comparisons(rows, markdown)}
    parts["The ladder: what each step wins or loses"] = _ladder(rows, markdown)
    compared = [
        row for row in scores if row["system"] != "ours" or row["decoder"] != "frozen" or row["codes_per_token"] > 1
    ]
    parts["The other systems, the fine-tuned decoder, and two codes a token"] = _scores(compared, markdown)
    for k in sorted({row["codes"] for row in scores if row["system"] == "ours"}):
        ours = [
            row
            for row in scores
            if (row["system"], row["decoder"], row["codes_per_token"], row["codes"]) == ("ours", "frozen", 1, k)
        ]
        if ours:
            parts[f"The frozen VAE: every codebook with every assignment, K = {k}"] = _scores(ours, markdown)
    semantics = [row for row in rows if row["case"] == "semantics"]
    if semantics:
        parts["What codes mean (whitened assignment)"] = _semantics(semantics, markdown)
    return "\n\n".join(f"**{caption}**\n\n{table}" for caption, table in parts.items())


def _comparisons(rows: list[Row], markdown: Markdown) -> str:
    cells = []
    for row in rows:
        if row["case"] == "comparison":
            interval = f"{row['low']:.3f} to {row['high']:.3f}"
            unit = {"psnr_difference": "dB", "lpips_difference": "LPIPS", "part": "part"}[row["score"]]
            cells.append([row["codes"], row["name"], unit, row["value"], interval, row["bar"], row["n"], row["seeds"]])
    return markdown(["K", "difference", "of", "mean", "95% interval", "wanted", "images", "seeds"], cells)


def _ladder(rows: list[Row], markdown: Markdown) -> str:
    cells: list[list[Any]] = []
    vae = {"case": "scores", "score": "psnr", "system": "vae", "assign": "-"}
    for k in sorted({row["codes"] for row in rows if row["case"] == "scores"}):
        found = steps(rows, k)
        above = [row for row in rows if all(row.get(name) == value for name, value in vae.items())]
        before = above[0]["value"] if above and found else None
        if before is not None:
            cells.append([k, "continuous VAE", before, None])
        for label, row in found:
            cells.append([k, label, row["value"], None if before is None else row["value"] - before])
            before = row["value"]
    return markdown(["K", "step", "PSNR dB", "over the one before, dB"], cells)


def _scores(rows: list[Row], markdown: Markdown) -> str:
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


def _semantics(rows: list[Row], markdown: Markdown) -> str:
    cases: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        cases.setdefault((row["codes"], row["codebook"]), {})[row["score"]] = row["value"]
    names = {
        "class_nmi": "NMI with classes",
        "class_purity": "purity",
        "stability_ami": "AMI between seeds",
        "kept_under_noise": "kept under noise",
    }
    cells = [[*case, *(found.get(score) for score in names)] for case, found in cases.items()]
    return markdown(["K", "codebook", *names.values()], cells)


def encoding(rows: list[Row], markdown: Markdown) -> str:
    """One line for each assignment."""
    quality = {row.get("assign"): row["value"] for row in rows if row["score"] == "psnr"}
    against = {(row["assign"], row["peer"]): row["value"] for row in rows if row["score"] == "ratio"}
    cells = [
        [
            row["assign"],
            row["value"],
            against[row["assign"], "encoder"],
            against[row["assign"], "joint"],
            quality.get(row["assign"]),
        ]
        for row in rows
        if row["score"] == "images_per_second"
    ]
    return markdown(["assign", "images a second", "time / encoder's", "time / joint's", "PSNR dB"], cells)
