"""The tables of nats of tokens: of benchmarks.generation and benchmarks.likelihood."""

from collections.abc import Sequence

from benchmarks.common.means import Table, mean_of, names_of, nats_of, seeds_of
from benchmarks.common.rows import Row, maybe, select


def below_unigrams(rows: Sequence[Row], transformer: str) -> float | None:
    """The part of the nats of token frequencies at each position that the Transformer saves."""
    ours, unigram = (nats_of(rows, model, transformer=transformer) for model in ("Transformer", "unigram per position"))
    return None if ours is None or unigram is None else 1 - ours / unigram


def likelihood(rows: Sequence[Row]) -> Table:
    """Nats of a test token, beside models of frequencies."""
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


def kinds(rows: Sequence[Row]) -> Table:
    """Of benchmarks.likelihood: every kind of tokens, how well they reconstruct and how predictable they are."""
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


def kinds_by_position(rows: Sequence[Row]) -> Table:
    """Of benchmarks.likelihood: nats of a test token position by position."""
    return positions(select(rows, split="test"))
