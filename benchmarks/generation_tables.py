"""The tables of benchmarks.generation and benchmarks.study."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.markdown import Row

Table = tuple[list[str], list[list[object]]]

ORIGINAL = {
    "1 Euclidean medoids": (8.9272, 0.3641, 0.4875, 3.55e8),
    "2 Euclidean medoids, K = 1024, large": (8.7034, 0.3460, 0.4995, 3.14e8),
    "3 geodesic medoids": (8.2531, 0.3298, 0.4894, 3.40e5),
}
"""What the original study printed: PSNR, SSIM, LPIPS, quantization error, the last in another unit for each metric."""

CONTROLS = ("real", "real, blurred", "mean image")

BRACKETS = {"real": "(real images)", "real, trained on": "(real, the classifier's own)", "vae": "(the VAE's)"}
"""Sets that are not samples, and what tables call them."""

SETS = ("precision", "recall", "density", "coverage", "class_accuracy", "lpips_diversity", "nearest_distance")

_PLAIN = {"guidance": 1.0, "rises": False}


class Mean(NamedTuple):
    """A score over seeds, with the mean ends of its intervals over images."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As tables show it."""
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


def mean_of(rows: Sequence[Row], **wanted: object) -> float | None:
    """Mean over seeds of the rows with these fields; None where there is none."""
    found = [r["value"] for r in rows if all(r.get(name) == value for name, value in wanted.items())]
    return float(np.mean(found)) if found else None


def interval_of(rows: Sequence[Row], **wanted: object) -> Mean | None:
    """The same with its interval."""
    found = [r for r in rows if all(r.get(name) == value for name, value in wanted.items())]
    return Mean(*(float(np.mean([r[end] for r in found])) for end in ("value", "low", "high"))) if found else None


def _names(rows: Sequence[Row], field: str) -> list[str]:
    return list(dict.fromkeys(r[field] for r in rows if field in r))


def _nats(rows: Sequence[Row], model: str, **wanted: object) -> float | None:
    return mean_of(rows, case="likelihood", model=model, score="nats_per_token", position=None, **wanted)


def reached(rows: Sequence[Row]) -> Table:
    """What the benchmark set out to reach, as far as its rows are there."""
    cells: list[list[object]] = []

    def add(what: str, found: object, wanted: str) -> None:
        if found is not None:
            cells.append([what, str(found) if isinstance(found, Mean) else found, wanted])

    for tokens in ("metric-whitened", "finetuned-whitened"):
        ours, unigram = (_nats(rows, model, tokens=tokens) for model in ("Transformer", "unigram per position"))
        if ours is not None and unigram is not None:
            add(f"nats of {tokens} below unigrams per position, part", 1 - ours / unigram, "at least 0.38")
    for tokens, wanted in (
        ("euclidean-euclidean", "more than finetuned-joint, intervals apart"),
        ("vqvae-euclidean", "more than finetuned-joint, intervals apart"),
        ("finetuned-joint", ""),
        ("finetuned-whitened-unconditional", ""),
        ("finetuned-whitened", "at most the unconditional one's"),
    ):
        found = interval_of(rows, case="samples", tokens=tokens, score="frechet", **_PLAIN)
        add(f"Fréchet distance of {tokens}", found, wanted)
    found = interval_of(rows, case="samples", tokens="finetuned-whitened", score="class_accuracy", **_PLAIN)
    add("samples of finetuned-whitened seen as asked", found, "at least 0.9")
    for score, wanted in (("lpips", "at most 0.85"), ("psnr", "at least -0.5 dB")):
        with_, without = (
            mean_of(rows, case="reconstructions", tokens=tokens, score=score)
            for tokens in ("finetuned-perceptual-joint", "finetuned-joint")
        )
        if with_ is not None and without is not None:
            change = with_ / without if score == "lpips" else with_ - without
            add(f"{score} with a price on LPIPS, beside without", change, wanted)
    return ["what", "found (95% interval)", "wanted"], cells


def systems(rows: Sequence[Row]) -> Table:
    """Brackets, then every kind of tokens: what is lost before the Transformer, and its samples beside real images."""
    cells: list[list[object]] = []
    for bracket, name in BRACKETS.items():
        of: dict[str, Any] = {"case": "bracket", "system": bracket}
        frechet = interval_of(rows, score="frechet", **of)
        if frechet is not None:
            kid = mean_of(rows, score="kid", **of)
            cells.append(
                [name, None, None, None, None, str(frechet), kid, *(mean_of(rows, score=s, **of) for s in SETS)]
            )
    for tokens in _names(rows, "tokens"):
        paired: dict[str, Any] = {"case": "reconstructions", "tokens": tokens}
        of = {"case": "samples", "tokens": tokens, **_PLAIN}
        cells.append(
            [
                tokens,
                *(mean_of(rows, score=score, **paired) for score in ("psnr", "lpips", "frechet")),
                _nats(rows, "Transformer", tokens=tokens),
                str(interval_of(rows, score="frechet", **of)),
                mean_of(rows, score="kid", **of),
                *(mean_of(rows, score=score, **of) for score in SETS),
            ]
        )
    heads = [
        "tokens",
        "PSNR dB",
        "LPIPS",
        "Fréchet of reconstructions",
        "nats a token",
        "Fréchet (95% interval)",
        "KID",
    ]
    return [*heads, *(score.replace("_", " ") for score in SETS)], cells


def likelihood(rows: Sequence[Row]) -> Table:
    """Nats of a test token, beside models of frequencies, and position by position."""
    models = ("uniform", "unigram", "unigram per position", "Transformer")
    positions = sorted({r["position"] for r in rows if r.get("case") == "likelihood" and r.get("position") is not None})
    cells: list[list[object]] = []
    for tokens in _names(rows, "tokens"):
        by_model = [_nats(rows, model, tokens=tokens) for model in models]
        ours, unigram = by_model[-1], by_model[-2]
        below = None if ours is None or unigram is None else 1 - ours / unigram
        of = {"case": "likelihood", "model": "Transformer", "tokens": tokens}
        cells.append([tokens, *by_model, below, *(mean_of(rows, position=position, **of) for position in positions)])
    return ["tokens", *models, "below per position, part", *map(str, positions)], cells


def guidance(rows: Sequence[Row]) -> Table:
    """Samples under every weight of classifier-free guidance."""
    scores = ("frechet", "precision", "recall", "class_accuracy", "lpips_diversity")
    cells: list[list[object]] = []
    for tokens in _names(rows, "tokens"):
        asked = [
            r for r in rows if r.get("tokens") == tokens and r["case"] == "samples" and r["score"] == "class_accuracy"
        ]
        for weight, rises in dict.fromkeys((r["guidance"], r["rises"]) for r in asked):
            of = {"case": "samples", "tokens": tokens, "guidance": weight, "rises": rises}
            label = f"1 to {weight:g}" if rises else f"{weight:g}"
            cells.append([tokens, label, *(mean_of(rows, score=score, **of) for score in scores)])
    return ["tokens", "guidance", "Fréchet", "precision", "recall", "class", "LPIPS diversity"], cells


def legacy(rows: Sequence[Row]) -> Table:
    """Generated images beside unrelated test images, and errors in the unit of each: latent², or intensity² along paths.

    The original study's errors seem to be sums over all tokens; ours are means of one.
    """
    cells: list[list[object]] = []
    for control in CONTROLS:
        found = [mean_of(rows, case="unpaired", system=control, score=score) for score in ("psnr", "ssim", "lpips")]
        cells.append([f"({control})", *found, None, *(None,) * 4])
    for name in _names(rows, "experiment"):
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
    for name in _names(rows, "experiment"):
        one = {"experiment": name}
        sampled = one | {"case": "samples", **_PLAIN}
        cells.append(
            [
                name,
                next(r["epochs"] for r in rows if r.get("experiment") == name),
                *(mean_of(rows, case="reconstructions", score=score, **one) for score in ("psnr", "lpips")),
                *(
                    mean_of(rows, case="errors", score=score, **one)
                    for score in ("latent_error", "metric_error", "geodesic_error")
                ),
                _nats(rows, "Transformer", **one),
                *(
                    mean_of(rows, score=score, **sampled)
                    for score in ("frechet", "precision", "recall", "class_accuracy")
                ),
            ]
        )
    heads = ["experiment", "epochs", "PSNR dB", "LPIPS", "latent²", "ΔᵀGΔ", "geodesic", "nats a token"]
    return [*heads, "Fréchet", "precision", "recall", "class"], cells
