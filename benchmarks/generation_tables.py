"""The tables of benchmarks.generation, benchmarks.perceptual and benchmarks.entropy."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.means import PLAIN, Mean, Table, interval_of, mean_of, names_of, nats_of, seeds_of
from benchmarks.rows import Row, select, value_of

BRACKETS = {"real": "(real images)", "real, trained on": "(real, the classifier's own)", "vae": "(the VAE's)"}
"""Sets that are not samples, and what tables call them."""

Bar = tuple[str, object, str, bool]
"""What, found, wanted, and whether it is reached."""

SETS = ("precision", "recall", "density", "coverage", "class_accuracy", "lpips_diversity", "nearest_distance")


def _below_unigrams(rows: Sequence[Row], transformer: str) -> float | None:
    """The part of the nats of token frequencies at each position that the Transformer saves."""
    ours, unigram = (nats_of(rows, model, transformer=transformer) for model in ("Transformer", "unigram per position"))
    return None if ours is None or unigram is None else 1 - ours / unigram


def _weights(rows: Sequence[Row], name: str) -> list[tuple[float, bool]]:
    """Weights of guidance of a class-conditional Transformer's samples, and whether they rise."""
    asked = select(rows, case="samples", name=name, score="class_accuracy")
    return list(dict.fromkeys((r["guidance"], r["rises"]) for r in asked))


def _frechet(rows: Sequence[Row], name: str, weight: float = 1.0, rises: bool = False) -> Mean | None:
    """The distance of a system's samples."""
    return interval_of(rows, case="samples", name=name, score="frechet", guidance=weight, rises=rises)


def _weight_name(weight: float, rises: bool) -> str:
    return f"1 to {weight:g}" if rises else f"{weight:g}"


def reached(rows: Sequence[Row]) -> Table:
    """What the benchmark set out to reach, as far as its rows are there."""
    bars = (_likely_tokens, _best_tokens, _as_asked, _texture)
    cells = [
        [what, found, wanted, "yes" if there else "no"] for bar in bars for what, found, wanted, there in bar(rows)
    ]
    return ["what", "found (95% interval over images)", "wanted", "reached"], cells


def _likely_tokens(rows: Sequence[Row]) -> Iterator[Bar]:
    for transformer in ("metric-whitened", "metric-whitened-free", "metric-whitened-free-long"):
        part = _below_unigrams(rows, transformer)
        if part is not None:
            yield f"nats of {transformer} below unigrams per position, part", part, "at least 0.38", part >= 0.38


def _best_tokens(rows: Sequence[Row]) -> Iterator[Bar]:
    for name in ("metric-joint-finetuned", "metric-joint-perceptual"):
        for peer in ("euclidean-euclidean", "vqvae-euclidean"):
            ours, other = _frechet(rows, name), _frechet(rows, peer)
            if ours and other:
                what = f"Fréchet distance of {name}; of {peer}"
                yield what, f"{ours}; {other}", "less, intervals apart", ours.high < other.low


def _as_asked(rows: Sequence[Row]) -> Iterator[Bar]:
    asked, free = "metric-whitened-finetuned", _frechet(rows, "metric-whitened-unconditional-finetuned")
    for weight, rises in _weights(rows, asked) if free else ():
        near = _frechet(rows, asked, weight, rises)
        seen = mean_of(rows, case="samples", name=asked, score="class_accuracy", guidance=weight, rises=rises)
        if free and near and seen is not None:
            what = f"{asked}, guidance {_weight_name(weight, rises)}: samples seen as asked; Fréchet distance"
            wanted = f"at least 0.9; at most {free.value:.4g}, of the unconditional one"
            yield what, f"{seen:.4g}; {near}", wanted, seen >= 0.9 and near.value <= free.value


def _texture(rows: Sequence[Row]) -> Iterator[Bar]:
    for tokens in ("metric-whitened", "metric-joint"):
        lpips, plain_lpips, psnr, plain_psnr = (
            mean_of(rows, case="reconstructions", name=f"{tokens}-{decoder}", score=score)
            for score in ("lpips", "psnr")
            for decoder in ("perceptual", "finetuned")
        )
        if lpips and plain_lpips and psnr and plain_psnr:
            part, lost = lpips / plain_lpips, psnr - plain_psnr
            yield f"{tokens}: LPIPS with a price on it, over that without", part, "at most 0.85", part <= 0.85
            yield f"{tokens}: PSNR with a price on LPIPS, less that without, dB", lost, "at least -0.5", lost >= -0.5


def systems(rows: Sequence[Row]) -> Table:
    """Brackets, then every kind of tokens: what is lost before the Transformer, and its samples beside real images."""
    cells: list[list[object]] = []

    def of_set(**of: Any) -> list[object]:
        frechet = interval_of(rows, score="frechet", **of)
        seeds, spread = (frechet.seeds or None, frechet.spread) if frechet else (None, None)
        others = [mean_of(rows, score=name, **of) for name in ("kid", *SETS)]
        return [seeds, frechet, spread, *others]

    for bracket, name in BRACKETS.items():
        if select(rows, case="bracket", system=bracket):
            cells.append([name, None, None, None, None, *of_set(case="bracket", system=bracket)])
    for name in names_of(rows, "name"):
        paired: dict[str, Any] = {"case": "reconstructions", "name": name}
        cells.append(
            [
                name,
                *(mean_of(rows, score=score, **paired) for score in ("psnr", "lpips", "frechet")),
                nats_of(rows, "Transformer", name=name),
                *of_set(case="samples", name=name, **PLAIN),
            ]
        )
    heads = ["tokens (and decoder)", "PSNR dB", "LPIPS", "Fréchet of reconstructions", "nats a token", "seeds"]
    return [
        *heads,
        "Fréchet (95% over images)",
        "std over seeds",
        "KID",
        *(score.replace("_", " ") for score in SETS),
    ], cells


def likelihood(rows: Sequence[Row]) -> Table:
    """Nats of a test token, beside models of frequencies, and position by position."""
    models = ("uniform", "unigram", "unigram per position", "Transformer")
    positions = sorted({r["position"] for r in rows if r.get("case") == "likelihood" and r.get("position") is not None})
    cells: list[list[object]] = []
    for name in names_of(rows, "transformer"):
        of = {"case": "likelihood", "model": "Transformer", "transformer": name}
        by_model = [nats_of(rows, model, transformer=name) for model in models]
        by_position = [mean_of(rows, position=position, **of) for position in positions]
        cells.append([name, seeds_of(rows, **of), *by_model, _below_unigrams(rows, name), *by_position])
    return ["tokens", "seeds", *models, "below per position, part", *map(str, positions)], cells


def guidance(rows: Sequence[Row]) -> Table:
    """Samples under every weight of classifier-free guidance."""
    scores = ("frechet", "precision", "recall", "class_accuracy", "lpips_diversity")
    cells: list[list[object]] = []
    for name in names_of(rows, "name"):
        for weight, rises in _weights(rows, name):
            of = {"case": "samples", "name": name, "guidance": weight, "rises": rises}
            found = [mean_of(rows, score=score, **of) for score in scores]
            cells.append([name, seeds_of(rows, **of), _weight_name(weight, rises), *found])
    heads = ["tokens (and decoder)", "seeds", "guidance", "Fréchet", "precision", "recall", "class", "LPIPS diversity"]
    return heads, cells


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
