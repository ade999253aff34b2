"""The tables of benchmarks.large."""

from collections.abc import Callable, Sequence

from benchmarks.common.rows import Row, Table, interval_of, mean_of, names_of, select

_GIB = 1 << 30


def quality(rows: Sequence[Row]) -> Table:
    """One line for each coding and system."""
    heads = [
        "autoencoder",
        "codes",
        "crop",
        "photographs",
        "tokens",
        "PSNR dB",
        "dB more than Euclidean",
        "dB more than whitened",
    ]
    heads += ["SSIM", "LPIPS", "passes"]
    found = select(rows, case="quality")
    identity = ("autoencoder", "codes", "codes_per_token", "side")
    cells: list[list[object]] = []
    for values in dict.fromkeys(tuple(each[name] for name in identity) for each in found):
        coding = dict(zip(identity, values, strict=True))
        some = select(found, **coding)
        for assign in sorted(names_of(some, "assign"), key=_order):
            won = [_said(some, assign=assign, score="psnr_difference", peer=peer) for peer in ("euclidean", "whitened")]
            shown = max(each["n"] or 0 for each in select(some, assign=assign))
            line = [coding["autoencoder"], f"{values[2]} x {values[1]}", coding["side"], shown, assign]
            means = [mean_of(some, assign=assign, score=score) for score in ("psnr", "ssim", "lpips")]
            passes = mean_of(some, assign=assign, score="passes")
            cells.append([*line, means[0], *won, *means[1:], None if passes is None else round(passes)])
    return heads, cells


_SYSTEMS = ("continuous", "euclidean", "whitened", "amortised", "joint", "joint-lpips", "greedy")


def _order(assign: str) -> int:
    return _SYSTEMS.index(assign)


def share(rows: Sequence[Row]) -> Table:
    """How much of what `Joint` gains over `Whitened` `Amortised` gains."""
    found = [each for each in select(rows, case="quality") if each["score"] == "share_of_gain"]
    cells: list[list[object]] = [
        [each["autoencoder"], f"{each['codes_per_token']} x {each['codes']}", each["seed"], _with_ends(each)]
        for each in found
    ]
    return ["autoencoder", "codes", "seed", "part of joint's gain"], cells


_TIMED = {"joint": "joint, radius 2"}
"""Ways whose options are not the default ones."""

_LEAST = 0.01
"""Part of the memory at the peak below which memory beyond the program tells nothing."""


def scaling(rows: Sequence[Row]) -> Table:
    """One line for each way and size."""
    heads = ["autoencoder", "way", "image", "s", "CPU s", "s a pixel", "CPU s a pixel", "GiB at the peak"]
    heads += ["GiB beyond the program", "memory a pixel", "load"]
    cells: list[list[object]] = []
    for each in select(rows, case="scaling", score="seconds"):
        said = {name: each[name] for name in ("case", "autoencoder", "way", "height", "width")}
        ratio = [mean_of(rows, **said, score="ratio", of=of) for of in ("seconds", "cpu_seconds", "bytes_beyond")]
        peak, beyond = (mean_of(rows, **said, score=score) for score in ("bytes", "bytes_beyond"))
        cells.append(
            [
                each["autoencoder"],
                _TIMED.get(each["way"], each["way"]),
                f"{each['height']}x{each['width']}",
                each["value"],
                mean_of(rows, **said, score="cpu_seconds"),
                *ratio[:2],
                None if peak is None else peak / _GIB,
                None if beyond is None else beyond / _GIB,
                ratio[2] if _beyond_tells(rows, said) else None,
                each["load"],
            ]
        )
    return heads, cells


def _beyond_tells(rows: Sequence[Row], said: Row) -> bool:
    """Whether the smallest image of a way, to which others are compared, takes memory that can be told from none."""
    way = {name: said[name] for name in ("case", "autoencoder", "way")}
    peak, beyond = (select(rows, **way, score=score)[0]["value"] for score in ("bytes", "bytes_beyond"))
    return beyond > _LEAST * peak


def measuring(rows: Sequence[Row]) -> Table:
    """What it costs to measure before codes are fitted, and to fit them with that."""
    heads = ["call", "autoencoder", "crops", "seed", "s", "CPU s", "GiB beyond the program", "load"]
    cells: list[list[object]] = []
    for each in [*select(rows, case="measure", score="seconds"), *select(rows, case="fit", score="seconds")]:
        said = {name: each[name] for name in ("case", "autoencoder", "seed")}
        peak = mean_of(rows, **said, score="bytes")
        crops = f"{each['n']} of {each['side']}x{each['side']}"
        cpu = mean_of(rows, **said, score="cpu_seconds")
        beyond = None if peak is None else peak / _GIB
        line = [each["case"], each["autoencoder"], crops, each["seed"], each["value"], cpu, beyond, each["load"]]
        cells.append(line)
    return heads, cells


def band(rows: Sequence[Row]) -> Table:
    """One line for each lattice."""
    heads = [
        "autoencoder",
        "crop",
        "radius",
        "spacing",
        "products",
        "% wrong in the blocks",
        "worst image",
        "% outside",
    ]
    cells: list[list[object]] = []
    for each in select(rows, case="band", score="relative_error"):
        said = {name: each[name] for name in ("case", "autoencoder", "side", "radius", "spacing")}
        worst, outside = (mean_of(rows, **said, score=score) for score in ("worst_image", "outside"))
        percents = [None if value is None else 100 * value for value in (each["value"], worst, outside)]
        line = [each[name] for name in ("autoencoder", "side", "radius", "spacing", "products")]
        cells.append([*line, *percents])
    return heads, cells


_SPACED = {"radius 1": "radius 1, spacing 3", "radius 2": "radius 2, spacing 5", "radius 3": "radius 3, spacing 7"}
"""The default spacing is 2·radius + 1."""


def joint(rows: Sequence[Row]) -> Table:
    """Joint on bands and on the dense JᵀJ."""
    cells: list[list[object]] = []
    for each in select(rows, case="joint on the band", score="psnr"):
        said = {name: each[name] for name in ("case", "autoencoder", "side", "assign")}
        won = _said(rows, **said, score="psnr_difference", peer="dense")
        assign = _SPACED.get(each["assign"], each["assign"])
        cells.append([each["autoencoder"], each["side"], each["n"], assign, each["value"], won])
    return ["VAE", "pixels", "images", "tokens", "PSNR dB", "dB more than dense"], cells


def speed(rows: Sequence[Row]) -> Table:
    """Seconds of an image, how often the band's, and the power of the side with which dense seconds were seen to grow."""
    heads = ["autoencoder", "way", "pixels", "s", "CPU s", "times the band's", "in CPU s", "power of the side", "load"]
    found, cells = select(rows, case="speed"), []
    for each in select(found, score="seconds"):
        said = {name: each[name] for name in ("autoencoder", "way", "side")}
        cpu = mean_of(found, **said, score="cpu_seconds")
        ratio = [mean_of(found, peer=each["way"], score="ratio", of=of) for of in ("seconds", "cpu_seconds")]
        grown = each["way"] == "dense" and each["side"] == max(
            row["side"] for row in select(found, way="dense") if "side" in row
        )
        power = mean_of(found, way="dense", score="power", of="seconds") if grown else None
        cells.append([*said.values(), each["value"], cpu, *ratio, power, each["load"]])
    return heads, cells


def _said(rows: Sequence[Row], **wanted: object) -> str | None:
    """A mean with its interval over images, and over seeds where there are several."""
    found = interval_of(rows, **wanted)
    return None if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _with_ends(row: Row) -> str:
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


TABLES: dict[str, Callable[[Sequence[Row]], Table]] = {
    "quality": quality,
    "share": share,
    "measuring": measuring,
    "scaling": scaling,
    "speed": speed,
    "band": band,
    "joint": joint,
}
"""What each is called in docs, behind large_."""
