"""Rows of benchmarks.tokenizer out of its cells: means over seeds and images, paired differences, and what codes mean."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from benchmarks.common.rows import Row, mean_row, row
from benchmarks.tokenizer.systems import HEADLINE, Schedule
from geovq.scores import tokens as token_scores

Arrays = dict[str, np.ndarray]

IMAGE_SCORES = (
    "psnr",
    "ssim",
    "lpips",
    "image_error",
    "latent_error",
    "metric_error",
    "geodesic_error",
    "bits_per_token",
)


class Case(NamedTuple):
    """What a cell is of; the fields of its rows."""

    codes: int
    """K, or 0 for the continuous VAE."""
    system: str
    decoder: str
    codebook: str
    assign: str
    codes_per_token: int = 1

    @property
    def name(self) -> str:
        """Of the cell's file, without the seed."""
        parts = (str(self.codes), self.system, self.decoder, self.codebook, self.assign, str(self.codes_per_token))
        return "-".join(parts)


def probes_of(case: Case, schedule: Schedule) -> int | None:
    """Directions of a case's joint assignment; None where Jacobians are whole, as in all that is compared."""
    if case.assign == "joint-sketched":
        return schedule.compared_probes
    frozen = case.system == "ours" and case.decoder == "frozen"
    return schedule.probes or None if frozen and case.assign == "joint" and case.codebook != HEADLINE else None


Found = Mapping[Case, Sequence[Arrays]]
"""The cells of every case, one for each seed."""


def rows_of(case: Case, cells: Sequence[Arrays], probes: int | None = None) -> list[Row]:
    """Scores of a case: per-image values are averaged over seeds, and their mean has a bootstrap interval over the images."""
    fields: Row = {"case": "scores", **case._asdict(), "probes": probes, "seeds": len(cells)}
    rows = []
    for score in (name for name in IMAGE_SCORES if name in cells[0]):
        values = np.stack([cell[score] for cell in cells])
        spread = float(values.mean(axis=1).std(ddof=1)) if len(cells) > 1 else None
        rows.append(mean_row(fields, score, values.mean(axis=0)) | {"std_over_seeds": spread})
    if "bits_of_tokens" in cells[0]:
        bits = [cell["bits_of_tokens"] for cell in cells]
        rows.append(row(fields, "bits_per_token_std", float(np.mean([x.std() for x in bits])), n=bits[0].size))
    if "tokens" in cells[0]:
        columns = [column for cell in cells for column in _quantizers(cell["tokens"], case.codes_per_token)]
        k, n = int(cells[0]["k"]), cells[0]["tokens"].size
        for score, measure in (("usage", token_scores.usage), ("perplexity", token_scores.perplexity)):
            rows.append(row(fields, score, float(np.mean([measure(column, k) for column in columns])), n=n))
    return rows


def _quantizers(tokens: np.ndarray, codes_per_token: int) -> list[np.ndarray]:
    """Tokens of each quantizer by itself, for each has its own codes."""
    return [tokens] if codes_per_token == 1 else list(np.moveaxis(tokens, -1, 0))


def difference(
    name: str, codes: int, better: Sequence[Arrays], worse: Sequence[Arrays], bar: float | None, score: str = "psnr"
) -> Row:
    """A paired difference of two cases on the same images, averaged over seeds, with its interval over the images."""
    n = min(len(better[0][score]), len(worse[0][score]))
    values = np.mean([a[score][:n] - b[score][:n] for a, b in zip(better, worse, strict=True)], axis=0)
    fields: Row = {"case": "comparison", "name": name, "codes": codes, "seeds": len(better), "bar": bar}
    return mean_row(fields, f"{score}_difference", values)


class Comparison(NamedTuple):
    """A difference of two cases that the study set out to look at, and the least that was wanted of it."""

    name: str
    better: tuple[str, str, str]
    """System, codebook and assignment."""
    worse: tuple[str, str, str]
    bar: float | None = None
    score: str = "psnr"


VAE, VQ = ("vae", "-", "-"), ("vqvae", "vqvae")
BEST, TUNED, TUNED_VQ = ("ours", HEADLINE), ("ours", "finetuned"), ("vqvae", "finetuned")

COMPARISONS = (
    Comparison(
        "whitened over euclidean k-means", ("ours", "whitened", "whitened"), ("ours", "kmeans", "euclidean"), 1.0
    ),
    Comparison("local over whitened", (*BEST, "local"), (*BEST, "whitened"), 0.0),
    Comparison("whitened-position over whitened", (*BEST, "whitened-position"), (*BEST, "whitened")),
    Comparison("joint over whitened", (*BEST, "joint"), (*BEST, "whitened"), 0.8),
    Comparison("joint over whitened codes, whitened", (*BEST, "joint"), ("ours", "whitened", "whitened"), 0.8),
    Comparison("amortised over whitened", (*BEST, "amortised"), (*BEST, "whitened")),
    Comparison("fine-tuned amortised over VQ-VAE", (*TUNED, "amortised"), (*VQ, "euclidean")),
    Comparison("sketched joint over exact", (*BEST, "joint-sketched"), (*BEST, "joint"), -0.1),
    Comparison("greedy over joint", (*BEST, "greedy"), (*BEST, "joint")),
    Comparison("greedy over VQ-VAE", (*BEST, "greedy"), (*VQ, "euclidean"), 0.5),
    Comparison("k-means over geodesic medoids, both joint", ("ours", "kmeans", "joint"), ("ours", "geodesic", "joint")),
    Comparison("fine-tuned joint over VQ-VAE", (*TUNED, "joint"), (*VQ, "euclidean"), 1.3),
    Comparison("fine-tuned joint over VQ-VAE with joint", (*TUNED, "joint"), (*VQ, "joint"), 0.2),
    Comparison("fine-tuned greedy over VQ-VAE with greedy", (*TUNED, "greedy"), (*VQ, "greedy"), 0.2),
    Comparison("fine-tuned joint over continuous VAE", (*TUNED, "joint"), VAE, 0.0),
    Comparison("fine-tuned greedy over continuous VAE", (*TUNED, "greedy"), VAE, 0.0),
    Comparison("fine-tuned joint over VQ-VAE fine-tuned alike", (*TUNED, "joint"), (*TUNED_VQ, "joint")),
    Comparison("VQ-VAE's joint over its own assignment", (*VQ, "joint"), (*VQ, "euclidean")),
    Comparison("FSQ over VQ-VAE", ("fsq", "fsq", "euclidean"), (*VQ, "euclidean")),
    # Of LPIPS less is better, so what is wanted is at most 0.
    Comparison("greedy over VQ-VAE", (*BEST, "greedy"), (*VQ, "euclidean"), 0.0, "lpips"),
    Comparison("fine-tuned joint over VQ-VAE", (*TUNED, "joint"), (*VQ, "euclidean"), 0.0, "lpips"),
    Comparison("fine-tuned joint over VQ-VAE with joint", (*TUNED, "joint"), (*VQ, "joint"), None, "lpips"),
)


class Part(NamedTuple):
    """Part of the way from one case to another that a third one makes, and the least that was wanted of it."""

    name: str
    bar: float
    least: tuple[str, str, str]
    some: tuple[str, str, str] | tuple[str, str, str, int]
    """System, codebook, assignment and, if several, codes a token."""
    most: tuple[str, str, str]


ONE, TWO = ("ours", "whitened", "whitened"), ("ours", "residual", "whitened", 2)
PARTS = (
    Part("gap to the continuous VAE closed by a second code", 0.7, ONE, TWO, VAE),
    Part(
        "joint's gain over whitened that amortised has",
        0.6,
        (*BEST, "whitened"),
        (*BEST, "amortised"),
        (*BEST, "joint"),
    ),
)


def comparisons(found: Found, k: int) -> list[Row]:
    """What the study set out to look at, for one K."""

    def of(system: str, codebook: str, assign: str, quantizers: int = 1) -> Sequence[Arrays] | None:
        decoders = {"finetuned": "finetuned", "vqvae": "end-to-end", "fsq": "end-to-end"}
        codes = 0 if system == "vae" else k
        return found.get(Case(codes, system, decoders.get(codebook, "frozen"), codebook, assign, quantizers))

    rows = []
    for name, left, right, bar, score in COMPARISONS:
        better, worse = of(*left), of(*right)
        if better is not None and worse is not None:
            rows.append(difference(name, k, better, worse, bar, score))
    for part in PARTS:
        least, some, most = of(*part.least), of(*part.some), of(*part.most)
        if least is not None and some is not None and most is not None:
            rows.append(_part(part, k, least, some, most))
    return rows


def _part(part: Part, k: int, least: Sequence[Arrays], some: Sequence[Arrays], most: Sequence[Arrays]) -> Row:
    """Its share in dB, with an interval over the images."""
    gap = np.mean([a["psnr"] - b["psnr"] for a, b in zip(most, least, strict=True)], axis=0)
    won = np.mean([a["psnr"] - b["psnr"] for a, b in zip(some, least, strict=True)], axis=0)
    draws = np.random.default_rng(0).integers(len(gap), size=(1000, len(gap)))
    ends = np.quantile(won[draws].mean(axis=1) / gap[draws].mean(axis=1), (0.025, 0.975))
    fields: Row = {"case": "comparison", "name": part.name, "codes": k, "seeds": len(least), "bar": part.bar}
    return row(fields, "part", won.mean() / gap.mean(), len(gap), *ends)


def class_information(tokens: Int[np.ndarray, "n h w"], labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Normalized mutual information of codes and classes over all tokens, and the purity: how often a code's commonest class."""
    flat, classes = tokens.ravel(), np.repeat(labels, tokens[0].size)
    table = np.zeros((flat.max() + 1, classes.max() + 1))
    np.add.at(table, (flat, classes), 1)
    return float(normalized_mutual_info_score(classes, flat)), float(table.max(axis=1).sum() / table.sum())


def stability(tokens: Sequence[Int[np.ndarray, "n h w"]]) -> list[float]:
    """Adjusted mutual information of the tokens of the same images under each two of several VAEs."""
    return [
        float(adjusted_mutual_info_score(first.ravel(), second.ravel()))
        for i, first in enumerate(tokens)
        for second in tokens[i + 1 :]
    ]


def semantic_rows(
    codebook: str,
    k: int,
    tokens: Sequence[Int[np.ndarray, "n h w"]],
    kept: Sequence[Float[np.ndarray, " n"]],
    labels: Int[np.ndarray, " n"],
) -> list[Row]:
    """Rows of one codebook, assigned by whitened distance, out of the tokens of every seed."""
    fields: Row = {"case": "semantics", "codes": k, "system": "ours", "codebook": codebook, "assign": "whitened"}
    information, purity = np.array([class_information(found, labels) for found in tokens]).T
    rows = [
        _over(fields, "class_nmi", information),
        _over(fields, "class_purity", purity),
    ]
    if len(tokens) > 1:
        rows.append(_over(fields, "stability_ami", np.array(stability(tokens))))
    return [*rows, mean_row(fields, "kept_under_noise", np.mean(kept, axis=0))]


def _over(fields: Row, score: str, values: np.ndarray) -> Row:
    """Mean over seeds, or pairs of seeds; the interval is the least and the greatest."""
    return row(fields, score, values.mean(), len(values), values.min(), values.max())
