"""The tables of benchmarks.generation, benchmarks.perceptual and benchmarks.entropy."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.common.means import (
    PLAIN,
    Mean,
    Table,
    difference_of,
    interval_of,
    mean_of,
    names_of,
    nats_of,
    seeds_of,
    weight_name,
)
from benchmarks.common.rows import Row, select, value_of
from benchmarks.generation.likelihood_tables import below_unigrams

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
"""Systems whose samples are to be nearer to real images than those of another, whose decoder is its own or tuned alike."""


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
            yield f"{tokens}: LPIPS with a price on it, over that without", seeds, part, "at most 0.85", part <= 0.85
            what = f"{tokens}: PSNR with a price on LPIPS, less that without, dB"
            yield what, seeds, lost, "at least -0.5", lost >= -0.5


def systems(rows: Sequence[Row]) -> Table:
    """Brackets, then every kind of tokens: what is lost before the Transformer, and its samples beside real images."""
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
    """What else is known of them."""
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
    """Of each line of a table its beginning, the system's name if it is one, and the fields of its set of images."""
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


def prices(rows: Sequence[Row]) -> Table:
    """Of benchmarks.perceptual: one line for each price of LPIPS, beside what none gives."""
    free_psnr, free_lpips = (value_of(rows, price=0.0, score=score) for score in ("psnr", "lpips"))
    cells: list[list[object]] = []
    for price in dict.fromkeys(row["price"] for row in rows):
        psnr, lpips = (value_of(rows, price=price, score=score) for score in ("psnr", "lpips"))
        cells.append([price, psnr, lpips, psnr - free_psnr, lpips / free_lpips])
    return ["price", "PSNR dB", "LPIPS", "PSNR less that without, dB", "LPIPS over that without"], cells


def prices_of_nats(rows: Sequence[Row]) -> Table:
    """Of benchmarks.entropy: one line for each assignment and price."""
    cells: list[list[object]] = []
    for steps, assign, price in dict.fromkeys((row["steps"], row["assign"], row["price"]) for row in rows):
        of = {"steps": steps, "assign": assign, "price": price}
        found = [value_of(rows, score=score, **of) for score in ("psnr", "nats_per_token", "changed")]
        cells.append([steps if price is not None else f"(whitened, for {steps})", price, *found])
    return ["steps", "price of a nat", "PSNR dB", "nats a token, of the prior", "tokens changed, part"], cells
