"""The tables of the generation study; every row of a table is a mean over seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.common.rows import (
    PLAIN,
    Mean,
    Row,
    Table,
    difference_of,
    interval_of,
    maybe,
    mean_of,
    names_of,
    nats_of,
    seeds_of,
    select,
    weight_name,
)
from benchmarks.generation.schedules import ScheduleName

BRACKETS = {
    "real": "(real validation images)",
    "real, trained on": "(the classifier's training images)",
    "vae": "(VAE reconstructions of validation images)",
}
"""Sets that are not samples, and what tables call them."""

Bar = tuple[str, int, object, str, bool]
"""What, of how many seeds, found, wanted, and whether it is reached."""

COMPARED = (
    ("metric-joint-finetuned", "euclidean-euclidean"),
    ("metric-joint-finetuned", "euclidean-euclidean-finetuned"),
    ("metric-joint-finetuned", "vqvae-euclidean"),
    ("metric-joint-finetuned", "vqvae-euclidean-finetuned"),
    ("metric-joint-perceptual", "vqvae-euclidean-perceptual"),
)
"""Systems whose samples should be nearer to real images than the samples of another one."""


def _weights(rows: Sequence[Row], name: str) -> list[tuple[float, bool]]:
    """Weights of guidance of a class-conditional Transformer's samples, and whether they rise."""
    asked = select(rows, case="samples", name=name, score="class_accuracy")
    return list(dict.fromkeys((r["guidance"], r["rises"]) for r in asked))


def _frechet(rows: Sequence[Row], name: str, weight: float = 1.0, rises: bool = False) -> Mean | None:
    """The distance of a system's samples."""
    return interval_of(rows, case="samples", name=name, score="frechet", guidance=weight, rises=rises)


def reached(rows: Sequence[Row]) -> Table:
    """What the benchmark set out to reach, as far as its rows are there."""
    return _bars(rows, (_likely_tokens, _best_tokens, _as_asked, _texture))


def apart(rows: Sequence[Row]) -> Table:
    """Of these, which tokens give nearer samples than others."""
    return _bars(rows, (_best_tokens,))


def _bars(rows: Sequence[Row], bars: Sequence[Callable[[Sequence[Row]], Iterator[Bar]]]) -> Table:
    cells: list[list[object]] = [[*found, "yes" if there else "no"] for bar in bars for *found, there in bar(rows)]
    return ["what", "seeds", "found (95%)", "wanted", "reached"], cells


def _likely_tokens(rows: Sequence[Row]) -> Iterator[Bar]:
    for transformer in ("metric-whitened", "metric-whitened-free", "metric-whitened-free-long"):
        part = below_unigrams(rows, transformer)
        if part is not None:
            seeds = seeds_of(rows, case="likelihood", transformer=transformer)
            yield f"nats of {transformer} below unigrams per position, part", seeds, part, "at least 0.38", part >= 0.38


def _best_tokens(rows: Sequence[Row]) -> Iterator[Bar]:
    for weight in ((1.0, False), (2.0, True)):
        under = "" if weight == (1.0, False) else f", guidance {weight_name(*weight)}"
        for name, peer in COMPARED:
            ours, other = (_frechet(rows, system, *weight) for system in (name, peer))
            if ours and other:
                what, seeds = f"Fréchet distance of {name}; of {peer}{under}", min(ours.seeds, other.seeds)
                of = {"case": "samples", "score": "frechet", "guidance": weight[0], "rises": weight[1]}
                paired = difference_of(rows, of | {"name": name}, of | {"name": peer})
                found = f"{ours}; {other}" + (f"; seed by seed {paired}" if paired else "")
                yield what, seeds, found, "less, intervals apart", ours.high < other.low


def _as_asked(rows: Sequence[Row]) -> Iterator[Bar]:
    asked, free = "metric-whitened-finetuned", _frechet(rows, "metric-whitened-unconditional-finetuned")
    for weight, rises in _weights(rows, asked) if free else ():
        near = _frechet(rows, asked, weight, rises)
        seen = mean_of(rows, case="samples", name=asked, score="class_accuracy", guidance=weight, rises=rises)
        if free and near and seen is not None:
            what = f"{asked}, guidance {weight_name(weight, rises)}: samples seen as asked; Fréchet distance"
            wanted = f"at least 0.9; at most {free.value:.4g}, of the unconditional one"
            yield what, near.seeds, f"{seen:.4g}; {near}", wanted, seen >= 0.9 and near.value <= free.value


def _texture(rows: Sequence[Row]) -> Iterator[Bar]:
    for tokens in ("metric-whitened", "metric-joint"):
        lpips, plain_lpips, psnr, plain_psnr = (
            mean_of(rows, case="reconstructions", name=f"{tokens}-{decoder}", score=score)
            for score in ("lpips", "psnr")
            for decoder in ("perceptual", "finetuned")
        )
        if lpips and plain_lpips and psnr and plain_psnr:
            part, lost = lpips / plain_lpips, psnr - plain_psnr
            seeds = seeds_of(rows, case="reconstructions", name=f"{tokens}-perceptual", score="lpips")
            yield f"{tokens}: LPIPS with a weight on it, relative to none", seeds, part, "at most 0.85", part <= 0.85
            what = f"{tokens}: PSNR with a weight on LPIPS minus PSNR without, dB"
            yield what, seeds, lost, "at least -0.5", lost >= -0.5


def systems(rows: Sequence[Row]) -> Table:
    """The ends of the scale, then every system: reconstructions, nats, and samples compared with real images."""
    cells: list[list[object]] = []
    for line, name, images in _lines(rows):
        frechet = interval_of(rows, score="frechet", **images)
        cells.append(
            [
                line,
                *(mean_of(rows, case="reconstructions", name=name, score=score) for score in ("psnr", "lpips")),
                nats_of(rows, "Transformer", name=name),
                frechet.seeds or None if frechet else None,
                frechet,
                *(mean_of(rows, score=score, **images) for score in ("precision", "recall", "class_accuracy")),
            ]
        )
    heads = ["tokens (and decoder)", "PSNR dB", "LPIPS", "nats a token", "seeds", "Fréchet (95%)"]
    return [*heads, "precision", "recall", "class accuracy"], cells


def further(rows: Sequence[Row]) -> Table:
    """More scores of the same sets of images."""
    scores = ("kid", "density", "coverage", "lpips_diversity", "nearest_distance", "copied")
    cells: list[list[object]] = []
    for line, name, images in _lines(rows):
        frechet = interval_of(rows, score="frechet", **images)
        reconstructions = mean_of(rows, case="reconstructions", name=name, score="frechet")
        spread = frechet.spread if frechet else None
        cells.append([line, reconstructions, spread, *(mean_of(rows, score=score, **images) for score in scores)])
    heads = ["tokens (and decoder)", "Fréchet of reconstructions", "std of Fréchet over seeds", "KID", "density"]
    return [*heads, "coverage", "LPIPS diversity", "nearest distance", "copied"], cells


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Of each line: its first cell, the system's name if it is one, and the fields of its set of images."""
    for bracket, line in BRACKETS.items():
        if select(rows, case="bracket", system=bracket):
            yield line, None, {"case": "bracket", "system": bracket}
    for name in names_of(rows, "name"):
        yield name, name, {"case": "samples", "name": name, **PLAIN}


def guidance(rows: Sequence[Row]) -> Table:
    """Samples under every weight of classifier-free guidance; a line for each system that knows classes."""
    scores = {"frechet": "Fréchet", "class_accuracy": "class", "recall": "recall"}
    weights = list(dict.fromkeys(weight for name in names_of(rows, "name") for weight in _weights(rows, name)))
    cells: list[list[object]] = [
        [
            name,
            *(
                mean_of(rows, case="samples", name=name, guidance=weight, rises=rises, score=score)
                for score in scores
                for weight, rises in weights
            ),
        ]
        for name in names_of(rows, "name")
        if _weights(rows, name)
    ]
    heads = [f"{head}, {weight_name(*weight)}" for head in scores.values() for weight in weights]
    return ["tokens (and decoder)", *heads], cells


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
    """Samples compared with unrelated test images, and errors in the unit of each: latent², or intensity² along paths.

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
    """Paired reconstructions, errors in common units, likelihood, and samples compared with real images."""
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


def below_unigrams(rows: Sequence[Row], transformer: str) -> float | None:
    """The part of the nats of token frequencies at each position that the Transformer saves."""
    ours, unigram = (nats_of(rows, model, transformer=transformer) for model in ("Transformer", "unigram per position"))
    return None if ours is None or unigram is None else 1 - ours / unigram


def likelihood(rows: Sequence[Row]) -> Table:
    """Nats of a test token, and nats under models of frequencies."""
    models = ("uniform", "unigram", "unigram per position", "Transformer")
    cells: list[list[object]] = [
        [
            name,
            seeds_of(rows, case="likelihood", transformer=name),
            next(r["epochs"] for r in rows if r.get("transformer") == name),
            *(nats_of(rows, model, transformer=name) for model in models),
            below_unigrams(rows, name),
        ]
        for name in names_of(rows, "transformer")
    ]
    return ["tokens", "seeds", "epochs", *models, "below per position, part"], cells


def positions(rows: Sequence[Row]) -> Table:
    """Nats of a test token position by position, in raster order."""
    found = sorted({r["position"] for r in rows if r.get("case") == "likelihood" and r.get("position") is not None})
    of = {"case": "likelihood", "model": "Transformer"}
    cells: list[list[object]] = [
        [name, *(mean_of(rows, position=position, transformer=name, **of) for position in found)]
        for name in names_of(rows, "transformer")
    ]
    return ["tokens", *map(str, found)], cells


def predicted(rows: Sequence[Row]) -> Table:
    """Of the likelihood schedule: how well each system's tokens reconstruct and how predictable they are."""
    cells: list[list[object]] = []
    for name in names_of(rows, "transformer"):
        validation, test = (select(rows, transformer=name, split=split) for split in ("validation", "test"))
        one = test[0]
        beta = one["noise_variance"]
        cells.append(
            [
                name,
                "held bits" if beta is None else beta,
                *(one[field] for field in ("images", "epochs")),
                *(
                    maybe(test, case="reconstructions", decoder=decoder, score="psnr")
                    for decoder in ("frozen", "finetuned")
                ),
                *(nats_of(test, model) for model in ("unigram per position", "Transformer")),
                *(below_unigrams(of_split, name) for of_split in (test, validation)),
            ]
        )
    heads = ["tokens", "β", "training images", "epochs", "PSNR dB", "fine-tuned, dB", "unigram per position, nats"]
    return [*heads, "Transformer, nats", "below per position, part", "on validation images"], cells


PRINTED: Mapping[ScheduleName, Mapping[str, Callable[[Sequence[Row]], Table]]] = {
    "generation": {"Samples": systems, "Guidance": guidance, "What was wanted": reached},
    "longer": {"Samples": systems, "Guidance": guidance, "What was wanted": apart},
    "longest": {"Samples": systems, "Guidance": guidance, "What was wanted": apart},
    "study": {"In the original columns": legacy, "In ours": honest},
    "likelihood": {"Nats": predicted},
}
"""What each schedule prints."""
