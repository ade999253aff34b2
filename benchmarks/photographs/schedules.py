"""How much of benchmarks.photographs is measured: rates, systems, images and seeds."""

import itertools
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from benchmarks.photographs.systems import AUTOENCODER, EUCLIDEAN, RIVALS, Assign, Codes, Crops, Rate, RivalName, System

ScheduleName = Literal["reduced", "full", "smoke"]


class Study(NamedTuple):
    """Systems that are scored on the same photographs."""

    autoencoder: str
    rate: Rate
    systems: tuple[System, ...]
    crops: Crops
    seeds: tuple[int, ...]
    """Of the training crops and the codes."""


class Timing(NamedTuple):
    """What is timed, on the first photograph."""

    autoencoder: str
    rate: Rate
    systems: tuple[System, ...]
    crops: Crops
    rounds: int


class Schedule(NamedTuple):
    """What is measured."""

    studies: tuple[Study, ...]
    bounds: tuple[tuple[str, Crops], ...]
    """Autoencoders whose continuous latents are scored, on which crops."""
    steps: int
    """Gradient steps by which these are optimised."""
    codecs: Crops
    train_crops: int
    """Random crops of training photographs to which codes are fitted."""
    train_side: int
    frequencies: Crops
    """Of `val`, whose tokens' frequencies an ideal entropy coder knows."""

    choice: Crops
    """Of `val`, by which the weight of LPIPS is chosen."""
    shown: Rate
    """TAESD's codes for which it is chosen, and whose images are shown."""
    as_sets: Crops
    """Of which a classifier's features are compared, of these codes."""
    timed: tuple[Timing, ...]

    def without(self, codes: Collection[str]) -> "Schedule":
        """The same without the systems of these codes."""
        return self._replace(
            studies=tuple(
                study._replace(systems=tuple(system for system in study.systems if system.codes not in codes))
                for study in self.studies
            )
        )


def _pairs(codes: tuple[Codes, ...], assigns: tuple[Assign, ...]) -> tuple[System, ...]:
    return tuple(itertools.starmap(System, itertools.product(codes, assigns)))


_CURVE = (EUCLIDEAN, System("default", "whitened"), System("default", "joint"))
"""Of which all rates are measured."""

CHANNELS = {AUTOENCODER: 4, "taesd3": 16, "taef1": 16}
"""Latent channels d of an autoencoder."""

_SCALAR_BITS = 12
"""Of a channel at most: more levels than any latent needs, and lists of them that take gigabytes."""

_LSQ_CODES = 4096
"""At most: faiss inverts a matrix of (S·K)² numbers in each of its steps."""


def rivals_at(autoencoder: str, rate: Rate) -> tuple[RivalName, ...]:
    """The rivals that have such a rate, and are another method there than k-means."""
    d, several = CHANNELS[autoencoder], rate.num_quantizers > 1
    takes: dict[RivalName, bool] = {
        "uniform": rate.bits <= _SCALAR_BITS * d,
        "quantile": rate.bits <= _SCALAR_BITS * d,
        "gaussian": rate.num_quantizers <= d,
        "beam": several,
        "lsq": several and rate.num_codes <= _LSQ_CODES,
    }
    return tuple(name for name in RIVALS if takes[name])


_PERCEPTUAL = (System("default", "joint-lpips"),)
_OURS = (System("default", "amortised"), System("default", "greedy"), *_PERCEPTUAL)
"""Beside those of the curve."""

_CODEBOOKS: tuple[Codes, ...] = ("kmeans", "whitened", "metric", "refined", "product")
_MEDOIDS: tuple[Codes, ...] = ("euclidean", "geodesic")

RATES: dict[str, tuple[Rate, ...]] = {
    AUTOENCODER: (Rate(256), Rate(512), Rate(4096), Rate(16384), Rate(512, 2), Rate(512, 4), Rate(256, 8)),
    "taesd3": (Rate(1024), Rate(1024, 2), Rate(1024, 4), Rate(256, 8)),
    "taef1": (Rate(1024), Rate(1024, 2), Rate(1024, 4), Rate(256, 8)),
}
"""Of an autoencoder with 4 channels, and of two with 16; 64 pixels a token: 0.125 to 1 bit a pixel."""


HEADLINES = (
    (AUTOENCODER, Rate(512)),
    (AUTOENCODER, Rate(512, 2)),
    ("taesd3", Rate(1024, 2)),
    ("taesd3", Rate(1024, 4)),
    ("taef1", Rate(1024, 2)),
    ("taef1", Rate(1024, 4)),
)
"""The rates that users are told of: several seeds, and every system with the first of them."""


class Extent(NamedTuple):
    """How much of an autoencoder is measured."""

    headline: Crops
    """On which its headline rates are compared with rivals."""
    others: Crops
    """On which all other rates and systems are scored."""
    assigns: tuple[Assign, ...]
    """How codes of other codebooks and of rivals are chosen at headline rates."""
    perceptual: dict[Rate, tuple[int, ...]]
    """Seeds with which LPIPS counts, too, on the headline's crops."""


def _studies(extents: dict[str, Extent], seeds: tuple[int, ...]) -> Iterator[Study]:
    """What users are told of, the curves of all rates, and at some rates all systems.

    Args:
        extents: Of every autoencoder.
        seeds: Of the codes that are compared with rivals; others have the first alone.
    """
    for autoencoder, rate in HEADLINES:
        crops, systems = extents[autoencoder].headline, _CURVE + _pairs(rivals_at(autoencoder, rate), ("own",))
        yield Study(autoencoder, rate, systems, crops, seeds)
        if some := extents[autoencoder].perceptual.get(rate):
            yield Study(autoencoder, rate, _PERCEPTUAL, crops, some)
    for autoencoder, rates in RATES.items():
        extent = extents[autoencoder]
        for rate in rates:
            if (autoencoder, rate) not in HEADLINES or extent.headline != extent.others:  # else they are measured above
                systems = _CURVE + _pairs(rivals_at(autoencoder, rate), ("own",))
                yield Study(autoencoder, rate, systems, extent.others, seeds[:1])
    for autoencoder, rate in HEADLINES:
        extent, rivals = extents[autoencoder], rivals_at(autoencoder, rate)
        medoids, several = (_MEDOIDS, _CODEBOOKS[:-1]) if rate.num_quantizers == 1 else ((), _CODEBOOKS)
        known = _PERCEPTUAL if extent.headline == extent.others and rate in extent.perceptual else ()
        ours = tuple(system for system in _OURS if system not in known)
        wide = ours + _pairs((*several, *medoids, *rivals), extent.assigns)
        yield Study(autoencoder, rate, wide, extent.others, seeds[:1])


_WHOLE = Crops(24, None)


def _timings(crops: Crops, crops_of_16: Crops, rounds: int) -> tuple[Timing, ...]:
    """Of all autoencoders at two codes a token."""
    return tuple(
        Timing(autoencoder, rate, _CURVE + _OURS, crops if autoencoder == AUTOENCODER else crops_of_16, rounds)
        for autoencoder, rate in HEADLINES
        if rate.num_quantizers == 2
    )


def _bounds(studies: tuple[Study, ...]) -> tuple[tuple[str, Crops], ...]:
    return tuple(dict.fromkeys((study.autoencoder, study.crops) for study in studies))


_SEEDS = (0, 1, 2)
_CHOSEN: tuple[Assign, ...] = ("whitened", "joint")
_EXTENT_OF_16 = Extent(Crops(12, 96), Crops(12, 96), ("whitened",), {})
_REDUCED = (
    *_studies(
        {
            AUTOENCODER: Extent(Crops(24, 256), Crops(24, 96), _CHOSEN, {Rate(512, 2): (0,)}),
            "taesd3": _EXTENT_OF_16,
            "taef1": _EXTENT_OF_16,
        },
        _SEEDS,
    ),
    Study(AUTOENCODER, Rate(512, 2), _CURVE + _PERCEPTUAL, Crops(3, None), (0,)),
)
_FULL = (
    *_studies(
        {
            autoencoder: Extent(
                Crops(24, 256),
                Crops(24, 256),
                _CHOSEN,
                {rate: _SEEDS for whose, rate in HEADLINES if whose == autoencoder},
            )
            for autoencoder in RATES
        },
        _SEEDS,
    ),
    *(Study(autoencoder, rate, _CURVE + _PERCEPTUAL, _WHOLE, (0,)) for autoencoder, rate in HEADLINES),
)
_SMOKE = (
    Study(
        AUTOENCODER,
        Rate(16),
        (*_CURVE, *_pairs(("uniform", "gaussian"), ("own",)), *_OURS, System("geodesic", "whitened")),
        Crops(2, 48),
        (0,),
    ),
    Study(
        AUTOENCODER,
        Rate(16, 3),
        (*_CURVE, *_pairs(("uniform", "gaussian"), ("own",)), System("lsq", "joint"), System("product", "joint")),
        Crops(2, 48),
        (0,),
    ),
)

SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(
        studies=_REDUCED,
        bounds=_bounds(_REDUCED),
        steps=24,
        codecs=Crops(24, 256),
        train_crops=200,
        train_side=256,
        frequencies=Crops(100, 256),
        choice=Crops(12, 96),
        shown=Rate(512, 2),
        as_sets=Crops(24, 256),
        timed=_timings(Crops(1, 256), Crops(1, 96), 2),
    ),
    "full": Schedule(
        studies=_FULL,
        bounds=_bounds(_FULL),
        steps=100,
        codecs=_WHOLE,
        train_crops=200,
        train_side=256,
        frequencies=Crops(100, 256),
        choice=Crops(24, 128),
        shown=Rate(512, 2),
        as_sets=Crops(24, 256),
        timed=_timings(_WHOLE, _WHOLE, 3),
    ),
    "smoke": Schedule(
        studies=_SMOKE,
        bounds=_bounds(_SMOKE),
        steps=2,
        codecs=Crops(2, 48),
        train_crops=4,
        train_side=64,
        frequencies=Crops(2, 48),
        choice=Crops(2, 48),
        shown=Rate(16, 3),
        as_sets=Crops(2, 48),
        timed=(Timing(AUTOENCODER, Rate(16, 3), _CURVE, Crops(2, 48), 2),),
    ),
}
"""reduced: two cores, smaller crops for most rows, LPIPS with one seed. full: an accelerator. smoke: to try it."""
