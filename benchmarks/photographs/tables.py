"""The tables of benchmarks.photographs."""

import math
from collections.abc import Callable, Sequence

from benchmarks.common.rows import Row, Table, interval_of, maybe, mean_of, select, value_of
from benchmarks.photographs.speed import PARTS

_SCORES = ("psnr", "ssim", "lpips", "lpips_vgg")
_HEADS = ["PSNR dB", "SSIM", "LPIPS-Alex", "LPIPS-VGG"]
_IDENTITY = ("autoencoder", "codes", "codes_per_token", "photographs", "side", "codebook", "assign")


def systems(rows: Sequence[Row]) -> Table:
    """One line for each system, rate and size of the images."""
    heads = ["autoencoder", "tokens", "photographs", "pixels", "codebook", "assign", "bits a pixel", "entropy-coded"]
    heads += _HEADS
    heads += ["dB more than Euclidean", "dB more than continuous", "PSNR of mean error", "usage"]
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="photographs"), _IDENTITY):
        some = select(rows, case="photographs", **identity)
        means = {name: mean_of(some, score=name) for name in (*_SCORES, "psnr_of_mean_error", "usage")}
        bits = [mean_of(some, score=f"{kind}bits_per_pixel") for kind in ("", "entropy_")]
        won = [_said(some, score="psnr_difference", peer=peer) for peer in ("euclidean", "continuous")]
        line: list[object] = [identity["autoencoder"], f"{identity['codes_per_token']} x {identity['codes']}"]
        line += [identity["photographs"], _pixels(identity["side"]), identity["codebook"], identity["assign"], *bits]
        cells.append([*line, *(means[name] for name in _SCORES), *won, means["psnr_of_mean_error"], means["usage"]])
    return heads, cells


def bounds(rows: Sequence[Row]) -> Table:
    """One line for each autoencoder, size, and way to continuous latents."""
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="bound"), ("autoencoder", "side", "photographs", "way")):
        some = select(rows, case="bound", **identity)
        means = [mean_of(some, score=name) for name in _SCORES]
        cells.append(
            [identity["autoencoder"], _pixels(identity["side"]), identity["photographs"], identity["way"], *means]
        )
    return ["autoencoder", "pixels", "photographs", "latents", *_HEADS], cells


def codecs(rows: Sequence[Row]) -> Table:
    """One line for each codec and quality."""
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="codec"), ("codec", "quality")):
        some = select(rows, case="codec", **identity)
        bits = maybe(some, score="bits_per_pixel")
        cells.append([identity["codec"], identity["quality"], bits, *(mean_of(some, score=name) for name in _SCORES)])
    return ["codec", "quality", "bits a pixel", *_HEADS], cells


def weights(rows: Sequence[Row]) -> Table:
    """One line for each weight of LPIPS, on photographs by which it is chosen."""
    cells: list[list[object]] = []
    for identity in _distinct(
        select(rows, case="choice"), ("autoencoder", "codes_per_token", "codes", "side", "weight")
    ):
        some = select(rows, case="choice", **identity)
        line = [
            identity["autoencoder"],
            f"{identity['codes_per_token']} x {identity['codes']}",
            _pixels(identity["side"]),
        ]
        cells.append([*line, identity["weight"], *(mean_of(some, score=name) for name in _SCORES)])
    return ["autoencoder", "tokens", "pixels", "perceptual", *_HEADS], cells


def saved(rows: Sequence[Row]) -> Table:
    """Bits saved compared with Euclidean k-means, one line for each system."""
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="bits saved"), ("autoencoder", "side", "codebook", "assign")):
        some = select(rows, case="bits saved", **identity)
        percents = [
            _percent(some, at_equal=at, bits=kind) for at in ("psnr", "lpips") for kind in ("nominal", "entropy-coded")
        ]
        line = [identity["autoencoder"], _pixels(identity["side"]), identity["codebook"], identity["assign"]]
        cells.append([*line, *percents])
        cells[-1].append(max(each["rates"] for each in some))
    heads = [f"% at equal {at}{coded}" for at in ("PSNR", "LPIPS-Alex") for coded in ("", ", entropy-coded")]
    return ["autoencoder", "pixels", "codebook", "assign", *heads, "rates"], cells


def frechet(rows: Sequence[Row]) -> Table:
    """One line for each system: a classifier's view of all photographs together."""
    cells: list[list[object]] = []
    for each in select(rows, case="frechet", score="frechet"):
        found = select(rows, **{name: each.get(name) for name in ("case", "codebook", "assign")})
        cells.append([each.get("codebook"), each["assign"], each["value"], _said(found, score="frechet_difference")])
    return ["codebook", "assign", "Fréchet distance", "more than Euclidean"], cells


def finetuned(rows: Sequence[Row]) -> Table:
    """One line for each fine-tuned tokenizer and assigner."""
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="finetuned"), ("name", "codes", "codes_per_token", "side", "assign")):
        some = select(rows, case="finetuned", **identity)
        line: list[object] = [identity["name"], f"{identity['codes_per_token']} x {identity['codes']}"]
        line += [_pixels(identity["side"]), identity["assign"], *(mean_of(some, score=name) for name in _SCORES)]
        peers = ("frozen", "euclidean", "continuous")
        cells.append([*line, *(_said(some, score="psnr_difference", peer=peer) for peer in peers)])
    heads = ["decoder", "tokens", "pixels", "assign", *_HEADS, "dB more than frozen", "dB more than Euclidean"]
    return [*heads, "dB more than continuous"], cells


def speed(rows: Sequence[Row]) -> Table:
    """One line for each system that is timed: images a second, and how an image's time divides."""
    cells: list[list[object]] = []
    for identity in _distinct(select(rows, case="speed"), tuple(name for name in _IDENTITY if name != "photographs")):
        some = select(rows, case="speed", **identity)
        seconds = [value_of(some, part=part) for part in PARTS]
        line: list[object] = [identity["autoencoder"], f"{identity['codes_per_token']} x {identity['codes']}"]
        line += [_pixels(identity["side"]), identity["codebook"], identity["assign"], 1 / (seconds[0] + seconds[1])]
        cells.append([*line, 1 / seconds[2], *seconds, some[0]["load"]])
    heads = ["autoencoder", "tokens", "pixels", "codebook", "assign", "images encoded a second", "decoded a second"]
    return [*heads, *(f"s, {part}" for part in PARTS), "load"], cells


def _distinct(rows: Sequence[Row], names: tuple[str, ...]) -> list[Row]:
    """The different values of some fields, in order."""
    return [
        dict(zip(names, values, strict=True))
        for values in dict.fromkeys(tuple(each[name] for name in names) for each in rows)
    ]


def _pixels(side: int | None) -> str:
    return "whole" if side is None else f"{side}x{side}"


def _said(rows: Sequence[Row], **wanted: object) -> str | None:
    found = interval_of(rows, **wanted)
    return None if found is None else _with_ends(found.value, found.low, found.high, 2)


def _percent(rows: Sequence[Row], **wanted: object) -> str | None:
    found = interval_of(rows, **wanted)
    return None if found is None else _with_ends(100 * found.value, 100 * found.low, 100 * found.high, 0)


def _with_ends(value: float, low: float, high: float, digits: int) -> str:
    """A number and its interval, if it has one."""
    ends = "" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{ends}"


TABLES: dict[str, Callable[[Sequence[Row]], Table]] = {
    "systems": systems,
    "saved": saved,
    "bounds": bounds,
    "finetuned": finetuned,
    "frechet": frechet,
    "speed": speed,
    "weights": weights,
    "codecs": codecs,
}
"""What each is called in docs, behind photographs_."""
