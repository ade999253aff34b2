"""The tables of benchmarks.tokenizer and benchmarks.encoding."""

from collections.abc import Sequence
from typing import Any

from benchmarks.markdown import Row, markdown

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
        of = {"case": "scores", "codes": 0 if fields["system"] == "vae" else 512, **fields}
        found = {row["score"]: row for row in rows if all(row.get(name) == value for name, value in of.items())}
        psnr = found["psnr"]
        interval = f"{psnr['low']:.2f} to {psnr['high']:.2f}"
        cells.append([label, psnr["value"], interval, found["ssim"]["value"], found["lpips"]["value"]])
    return markdown(["system", "PSNR dB", "95% interval", "SSIM", "LPIPS"], cells)


def reached(rows: list[Row]) -> str:
    """What the study set out to reach: differences with their intervals, and the least that was wanted."""
    cells = []
    for row in rows:
        if row["case"] == "comparison":
            interval = f"{row['low']:.3f} to {row['high']:.3f}"
            unit = {"psnr_difference": "dB", "lpips_difference": "LPIPS", "part": "part"}[row["score"]]
            cells.append([row["codes"], row["name"], unit, row["value"], interval, row["bar"], row["n"], row["seeds"]])
    return markdown(["K", "difference", "of", "mean", "95% interval", "wanted", "images", "seeds"], cells)


def ladder(rows: list[Row]) -> str:
    """What each step from plain codes to fine-tuned tokens wins or loses, beginning with the VAE."""
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


def systems(rows: list[Row]) -> str:
    """All scores of the other systems, of fine-tuned decoders, and of two codes a token."""
    scores = [row for row in rows if row["case"] == "scores"]
    compared = [r for r in scores if r["system"] != "ours" or r["decoder"] != "frozen" or r["codes_per_token"] > 1]
    return _scores(compared)


def codebooks(rows: list[Row]) -> str:
    """All scores of the frozen VAE with one code a token: every codebook with every assignment."""
    ours = {"case": "scores", "system": "ours", "decoder": "frozen", "codes_per_token": 1}
    return _scores([row for row in rows if all(row.get(k) == v for k, v in ours.items())])


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


def encoding(rows: list[Row]) -> str:
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


LADDER = (
    ("k-means, euclidean", {"codebook": "kmeans", "assign": "euclidean", "decoder": "frozen"}),
    ("whitened codes, whitened", {"codebook": "whitened", "assign": "whitened", "decoder": "frozen"}),
    ("metric means, whitened", {"codebook": "metric", "assign": "whitened", "decoder": "frozen"}),
    ("refined, whitened-position", {"codebook": "refined", "assign": "whitened-position", "decoder": "frozen"}),
    ("refined, local", {"codebook": "refined", "assign": "local", "decoder": "frozen"}),
    ("refined, amortised", {"codebook": "refined", "assign": "amortised", "decoder": "frozen"}),
    ("refined, joint", {"codebook": "refined", "assign": "joint", "decoder": "frozen"}),
    ("refined, decoded", {"codebook": "refined", "assign": "decoded", "decoder": "frozen"}),
    ("fine-tuned, joint", {"assign": "joint", "decoder": "finetuned"}),
    ("fine-tuned, decoded", {"assign": "decoded", "decoder": "finetuned"}),
)
"""The steps from plain post-hoc codes to the best, and the fields of their rows."""


def steps(rows: Sequence[Row], k: int) -> list[tuple[str, Row]]:
    """The ladder's rows of PSNR that there are, for one K."""
    found = []
    for label, fields in LADDER:
        wanted = {"case": "scores", "score": "psnr", "system": "ours", "codes": k, **fields}
        found += [(label, row) for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    return found
