"""Joint assignment on a band, compared with a dense Jacobian and with probes, in turn in one process."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

from benchmarks.common.harness import Cell
from benchmarks.common.rows import Row, ratio_row, row, spread_row
from benchmarks.large.inputs import Seconds, Setting, load, timed
from geovq.assignment.joint import Joint

POWER = 4
"""Of the side: a dense Jacobian takes products for every token, and every product takes the whole image."""


def speed(setting: Setting) -> list[Row]:
    """Rows of all ways, in turn, and of the dense one extrapolated to the size of the band's image."""
    size, seed = setting.schedule.speed, setting.schedule.seeds[0]
    base = setting.tokenizer(size.coding, None, seed)
    ways = {
        **{f"dense, {side}": (Joint(radius=None), side) for side in size.dense},
        "band": (Joint(), size.side),
        "probes": (Joint(probes=size.probes), size.side),
    }
    fields: Row = {"case": "speed", "autoencoder": size.coding.autoencoder}

    def compute() -> Cell:
        images = {name: setting.centre(side, side) for name, (_, side) in ways.items()}
        tokenizers = {name: base.replace(assigner=assigner) for name, (assigner, _) in ways.items()}
        seconds: dict[str, list[Seconds]] = {name: [] for name in ways}
        for name, (assigner, _) in ways.items():  # one linearisation compiles all that two need
            base.replace(assigner=dataclasses.replace(assigner, jacobians=1)).encode(images[name])
        for number in range(size.rounds):
            names = list(ways)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                seconds[name].append(timed(functools.partial(tokenizers[name].encode, images[name]))[1])
                print(f"speed: {name}: {seconds[name][-1].wall:.1f} s", flush=True)
        sides = {name: side for name, (_, side) in ways.items()}
        return speed_rows(fields | {"probes": size.probes, "load": load()}, seconds, sides), {}

    return setting.cell("speed", {"size": [list(size.coding), *map(str, size[1:])]}, compute)[0]


def speed_rows(fields: Row, seconds: Mapping[str, Sequence[Seconds]], sides: Mapping[str, int]) -> list[Row]:
    """Rows of the ways, and what the dense one would take at the band's side.

    The last dense size is extrapolated by the fourth power of the side. The power that the dense sizes themselves have is given
    beside it: below 4 where small images do not fill the machine.

    Args:
        fields: They identify the autoencoder.
        seconds: Of every round of every way: `band`, `probes`, and dense ones.
        sides: Of their images.
    """
    rows: list[Row] = []
    dense = sorted((name for name in seconds if name.startswith("dense")), key=sides.__getitem__)
    for name, rounds in seconds.items():
        said = fields | {"way": name.partition(",")[0], "side": sides[name]}
        rows += [spread_row(said, score, [getattr(each, clock) for each in rounds]) for score, clock in _CLOCKS.items()]
    for score, clock in _CLOCKS.items():
        of = {name: [getattr(each, clock) for each in rounds] for name, rounds in seconds.items()}
        growth = (sides["band"] / sides[dense[-1]]) ** POWER
        whole = [growth * value for value in of[dense[-1]]]
        extrapolated = fields | {"way": "dense, extrapolated", "side": sides["band"]}
        rows.append(spread_row(extrapolated, score, whole))
        rows += [
            ratio_row(fields | {"peer": peer, "of": score}, values, of["band"])
            for peer, values in (("dense, extrapolated", whole), ("probes", of["probes"]))
        ]
        small, large = dense[-2:]
        power = math.log(of[large][0] / of[small][0]) / math.log(sides[large] / sides[small])
        rows.append(row(fields | {"way": "dense", "of": score}, "power", power))
    return rows


_CLOCKS = {"seconds": "wall", "cpu_seconds": "cpu"}
