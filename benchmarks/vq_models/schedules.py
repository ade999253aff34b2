"""The models of benchmarks.vq_models, and how long and on how much they are trained and scored."""

from typing import Literal, NamedTuple

ScheduleName = Literal["reduced", "smoke"]


class Model(NamedTuple):
    """A model with vector-quantized latents, and its training."""

    name: str
    crop: int
    """Pixels of a side of the crops that it is trained and scored on."""
    downs: int
    """Times that the encoder halves the image."""
    width: int
    """Channels of the networks; half as many at half of the full resolution."""
    d: int
    """Channels of a code."""
    num_codes: int
    num_quantizers: int
    """Codes of a token; with several, each quantizes the residual of the ones before."""
    steps: int
    """Of training."""
    batch: int
    """Crops of a training step."""

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
    """Pixels of each photograph that are scored: as many crops as they make, at least one."""
    measured: int
    """Crops of training photographs from which mean metrics and clusters are measured."""
    photographs: int | None = None
    """Photographs that are scored at most; None for all."""


SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(
        (
            Model("vqvae-8x8", 32, 2, 48, d=128, num_codes=512, num_quantizers=1, steps=1200, batch=64),
            Model("vqvae-16x16", 64, 2, 48, d=16, num_codes=1024, num_quantizers=1, steps=2500, batch=8),
            Model("residual-vq-8x8", 64, 3, 48, d=32, num_codes=512, num_quantizers=4, steps=2500, batch=8),
        ),
        pixels=2 * 32**2,
        measured=128,
    ),
    "smoke": Schedule(
        (
            Model("vqvae", 16, 2, 8, d=4, num_codes=16, num_quantizers=1, steps=20, batch=8),
            Model("residual-vq", 16, 3, 8, d=4, num_codes=16, num_quantizers=2, steps=20, batch=8),
        ),
        pixels=16**2,
        measured=64,
        photographs=4,
    ),
}
