"""How much of benchmarks.photographs is measured: rates, systems, images and seeds."""

import itertools
import math
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple, get_args

from geovq.codebook.names import CODEBOOKS, CodebookName, CompositionName

ScheduleName = Literal["reduced", "full", "smoke"]

RivalName = Literal["uniform", "quantile", "gaussian", "beam", "lsq"]
RIVALS: tuple[RivalName, ...] = get_args(RivalName)

Codes = CodebookName | RivalName | Literal["default", "product"]
"""default: what `Tokenizer.fit` chooses; product: the same with channels of its own for every quantizer."""

Assign = Literal["own", "whitened", "amortised", "joint", "joint-lpips", "greedy"]
"""own: as the method itself chooses its codes, by Euclidean distance in most of them."""


class Rate(NamedTuple):
    """Codes of a token."""

    num_codes: int
    """K, of each quantizer."""
    num_quantizers: int = 1
    """S."""

    @property
    def bits(self) -> float:
        """Of a token."""
        return self.num_quantizers * math.log2(self.num_codes)

    @property
    def name(self) -> str:
        """Of files."""
        return f"{self.num_codes}x{self.num_quantizers}"


class System(NamedTuple):
    """Whose codes, and who chooses among them."""

    codes: Codes
    assign: Assign

    @property
    def codebook(self) -> CodebookName | None:
        """Of codes that are fitted; None for the default one."""
        return next((name for name in CODEBOOKS if name == self.codes), None)

    @property
    def composition(self) -> CompositionName:
        """Of several codes."""
        return "product" if self.codes == "product" else "residual"


class Crops(NamedTuple):
    """Which pixels of how many photographs are scored."""

    photographs: int
    side: int | None
    """Pixels of the sides of their centres; None for whole photographs."""


class Study(NamedTuple):
    """Systems that are scored on the same photographs."""

    autoencoder: str
    rate: Rate
    systems: tuple[System, ...]
    crops: Crops
    seeds: tuple[int, ...]
    """Of the training crops and the codes."""


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


_CURVE = (System("kmeans", "own"), System("default", "whitened"), System("default", "joint"))
"""Of which all rates are measured."""

CHANNELS = {"taesd": 4, "taesd3": 16, "taef1": 16}
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

_CODEBOOKS: tuple[Codes, ...] = ("kmeans", "whitened", "metric", "refined", "product")
_MEDOIDS: tuple[Codes, ...] = ("euclidean", "geodesic")

RATES: dict[str, tuple[Rate, ...]] = {
    "taesd": (Rate(256), Rate(512), Rate(4096), Rate(16384), Rate(512, 2), Rate(512, 4), Rate(256, 8)),
    "taesd3": (Rate(1024), Rate(1024, 2), Rate(1024, 4), Rate(256, 8)),
    "taef1": (Rate(1024), Rate(1024, 2), Rate(1024, 4), Rate(256, 8)),
}
"""Of an autoencoder with 4 channels, and of two with 16; 64 pixels a token: 0.125 to 1 bit a pixel."""


def _studies(
    crops: Crops, crops_of_16: Crops, seeds: tuple[int, ...], headlines: dict[tuple[str, Rate], Crops]
) -> Iterator[Study]:
    """The curves of all autoencoders, and at some rates all there is.

    Args:
        crops: On which all rates with 4 channels are scored.
        crops_of_16: The same for 16 channels.
        seeds: Of the codes that are compared with rivals; others have the first alone.
        headlines: On which crops the rates that users are told of are scored.
    """
    for autoencoder, rates in RATES.items():
        ours = crops if autoencoder == "taesd" else crops_of_16
        for rate in rates:
            if headlines.get((autoencoder, rate)) != ours:  # else they are measured there
                yield Study(autoencoder, rate, _CURVE + _pairs(rivals_at(autoencoder, rate), ("own",)), ours, seeds[:1])
    for (autoencoder, rate), centres in headlines.items():
        rivals = rivals_at(autoencoder, rate)
        yield Study(autoencoder, rate, _CURVE + _pairs(rivals, ("own",)) + _PERCEPTUAL, centres, seeds)
        ours = crops if autoencoder == "taesd" else crops_of_16
        medoids = _MEDOIDS if rate.num_quantizers == 1 else ()
        several = _CODEBOOKS if rate.num_quantizers > 1 else _CODEBOOKS[:-1]
        wide = _OURS + _pairs(several + medoids, ("whitened", "joint")) + _pairs(rivals, ("whitened", "joint"))
        yield Study(autoencoder, rate, wide, ours, seeds[:1])


_HEADLINES = {
    ("taesd", Rate(512)): Crops(24, 256),
    ("taesd", Rate(512, 2)): Crops(24, 256),
    ("taesd3", Rate(1024, 2)): Crops(12, 256),
    ("taesd3", Rate(1024, 4)): Crops(12, 256),
    ("taef1", Rate(1024, 2)): Crops(12, 256),
    ("taef1", Rate(1024, 4)): Crops(12, 256),
}

_WHOLE = Crops(24, None)


def _bounds(studies: tuple[Study, ...]) -> tuple[tuple[str, Crops], ...]:
    return tuple(dict.fromkeys((study.autoencoder, study.crops) for study in studies))


_REDUCED = tuple(_studies(Crops(24, 96), Crops(12, 96), (0,), _HEADLINES))
_FULL = (
    *_studies(Crops(24, 256), Crops(24, 256), (0, 1, 2), {key: Crops(24, 256) for key in _HEADLINES}),
    *(Study(autoencoder, rate, _CURVE + _PERCEPTUAL, _WHOLE, (0,)) for autoencoder, rate in _HEADLINES),
)
_SMOKE = (
    Study(
        "taesd",
        Rate(16),
        (*_CURVE, *_pairs(("uniform", "gaussian"), ("own",)), *_OURS, System("geodesic", "whitened")),
        Crops(2, 48),
        (0,),
    ),
    Study(
        "taesd",
        Rate(16, 3),
        (*_CURVE, *_pairs(("uniform", "gaussian"), ("own",)), System("lsq", "joint"), System("product", "joint")),
        Crops(2, 48),
        (0,),
    ),
)

SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(
        _REDUCED, _bounds(_REDUCED), 24, Crops(24, 256), 200, 256, Crops(100, 256), Crops(12, 96), Rate(512, 2)
    ),
    "full": Schedule(_FULL, _bounds(_FULL), 100, _WHOLE, 200, 256, Crops(100, 256), Crops(24, 128), Rate(512, 2)),
    "smoke": Schedule(_SMOKE, _bounds(_SMOKE), 2, Crops(2, 48), 4, 64, Crops(2, 48), Crops(2, 48), Rate(16, 3)),
}
"""reduced: two cores, one seed, smaller crops for most rows. full: an accelerator. smoke: to try it."""
