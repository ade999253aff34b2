"""How much of benchmarks.large is measured: which codebooks, sizes and photographs."""

from typing import Literal, NamedTuple

ScheduleName = Literal["reduced", "full", "smoke"]
Part = Literal["scaling", "band", "speed", "quality"]


class Coding(NamedTuple):
    """Codes of an autoencoder, and the crops that they are scored on."""

    autoencoder: str
    num_codes: int
    """K, of each quantizer."""
    num_quantizers: int
    """Codes of a token; each quantizes the residual of the ones before."""
    side: int
    """Pixels of a side of the crops that are scored, the centres of photographs."""
    photographs: int
    """That are scored at most."""
    amortised: int = 0
    """Training crops of which `Amortised` is measured; 0 leaves it out. A crop takes as many products as a linearisation."""
    perceptual: float = 0.0
    """Weight of LPIPS with which `Joint` is scored, too; 0 leaves it out."""

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.autoencoder}-{self.num_codes}x{self.num_quantizers}"


class Sizes(NamedTuple):
    """Images of different sizes that are encoded by one autoencoder, each in a process of its own."""

    coding: Coding
    shapes: tuple[tuple[int, int], ...]
    """Height and width; costs a pixel are compared with the first one's."""


class Band(NamedTuple):
    """Bands of JᵀJ that are compared with the dense one."""

    coding: Coding
    side: int
    """Pixels of the crops."""
    photographs: int
    radii: tuple[int, ...] = (1, 2)
    spacings: tuple[int, ...] = (3, 5, 7, 9)
    fashion: int = 256
    """Test images of FashionMNIST whose 4x4 tokens are chosen on a band of radius 3, and on the dense JᵀJ."""


class Speed(NamedTuple):
    """Joint assignment on a band, compared with the dense one of smaller images."""

    coding: Coding
    dense: tuple[int, ...]
    """Sides of the images whose dense Jacobian is computed; the last two are extrapolated from."""
    side: int
    """Of the image that the band encodes."""
    probes: int
    rounds: int


class Schedule(NamedTuple):
    """How much is measured."""

    codings: tuple[Coding, ...]
    sizes: tuple[Sizes, ...]
    band: Band
    speed: Speed
    crops: int
    """Random crops of training photographs to which codes are fitted."""
    crop: int
    """Pixels of their sides."""
    seeds: tuple[int, ...]
    """Of the crops and the codes, for `quality`; other parts take the first."""
    greedy: bool = True
    """Whether `Greedy` is scored, too; it takes three times as long as `Joint`."""


def _codings(side_of_16: int, photographs: int, amortised: tuple[int, ...]) -> tuple[Coding, ...]:
    """One and two codes of 9 bits for 4 channels; one, two and four of 10 bits for 16 channels."""
    bits = [("taesd", 512, 1, 256), ("taesd", 512, 2, 256), *(("taef1", 1024, n, side_of_16) for n in (1, 2, 4))]
    codings = [Coding(*each, photographs, crops) for each, crops in zip(bits, amortised, strict=True)]
    codings[1] = codings[1]._replace(perceptual=0.01)
    return tuple(codings)


_REDUCED = _codings(96, 12, (16, 0, 0, 0, 0))
_FULL = _codings(256, 24, (32, 32, 32, 32, 32))
_SQUARES = ((128, 128), (256, 256), (512, 512), (512, 768))
_SMOKE = (Coding("taesd", 16, 1, 64, 2, amortised=2), Coding("taef1", 16, 2, 64, 2))

SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(
        codings=_REDUCED,
        sizes=(Sizes(_REDUCED[0], _SQUARES), Sizes(_REDUCED[2]._replace(amortised=2), _SQUARES[:2])),
        band=Band(_REDUCED[0], 64, 24),
        speed=Speed(_REDUCED[0], (64, 128), 256, probes=96, rounds=1),
        crops=200,
        crop=256,
        seeds=(0,),
        greedy=False,
    ),
    "full": Schedule(
        codings=_FULL,
        sizes=(Sizes(_FULL[0], _SQUARES), Sizes(_FULL[2], _SQUARES[:2])),
        band=Band(_FULL[0], 64, 24, fashion=2000),
        speed=Speed(_FULL[0], (64, 128), 256, probes=96, rounds=3),
        crops=200,
        crop=256,
        seeds=(0, 1, 2),
    ),
    "smoke": Schedule(
        codings=_SMOKE,
        sizes=(Sizes(_SMOKE[0], ((48, 48), (64, 64))),),
        band=Band(_SMOKE[0], 48, 2, spacings=(3, 5), fashion=8),
        speed=Speed(_SMOKE[0], (32, 48), 56, probes=4, rounds=1),
        crops=4,
        crop=64,
        seeds=(0,),
    ),
}
