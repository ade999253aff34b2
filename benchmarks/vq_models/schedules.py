"""The models of benchmarks.vq_models, and how long and on how much they are trained and scored."""

from typing import Literal, NamedTuple

ScheduleName = Literal["reduced", "smoke"]


class Model(NamedTuple):
    """A model with vector-quantized latents."""

    name: str
    crop: int
    """Pixels of a side of the crops that it is trained and scored on."""
    downs: int
    """Times that the encoder halves the image."""
    width: int
    """Channels of the networks; half as many at full resolution."""
    d: int
    """Channels of a code."""
    num_codes: int
    num_quantizers: int = 1
    """Codes of a token; with several, each quantizes the residual of the ones before."""

    @property
    def side(self) -> int:
        """Tokens of a side of the grid."""
        return self.crop >> self.downs

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the tokens of a pixel."""
        bits = self.num_quantizers * (self.num_codes - 1).bit_length()
        return bits * self.side**2 / self.crop**2


class Schedule(NamedTuple):
    """How long and how much."""

    models: tuple[Model, ...]
    pixels: int
    """Pixels of a training batch."""
    steps: int
    """Training steps of every model."""
    crops: int
    """Crops of each photograph that is scored."""
    fit_crops: int
    """Crops of training photographs from which metrics and clusters are measured."""
    photographs: int | None = None
    """Photographs that are scored at most; None for all."""


SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(
        (
            Model("vqvae-8x8", crop=32, downs=2, width=48, d=128, num_codes=512),
            Model("vqvae-16x16", crop=64, downs=2, width=48, d=16, num_codes=1024),
            Model("residual-vq-8x8", crop=64, downs=3, width=48, d=32, num_codes=512, num_quantizers=4),
        ),
        pixels=16 * 64 * 64,
        steps=1200,
        crops=4,
        fit_crops=2000,
    ),
    "smoke": Schedule(
        (
            Model("vqvae", crop=16, downs=2, width=8, d=4, num_codes=16),
            Model("residual-vq", crop=16, downs=3, width=8, d=4, num_codes=16, num_quantizers=2),
        ),
        pixels=8 * 16 * 16,
        steps=20,
        crops=1,
        fit_crops=64,
        photographs=4,
    ),
}
