"""What every assigner is: an object with its own options, called with a decoder, a codebook and some latents.

To add one, write a frozen dataclass of `Assigner` (or of `MeasuredAssigner`, where it needs statistics of training images) in a
file of its own, and list it in `geovq.tokenizer.file`, so that tokenizers can be saved with it.
"""

import abc
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Self

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.geometry.measured import Geometry
from geovq.numerics.additive import MAX_QUANTIZERS
from geovq.validation import InputError, as_array, check_real, shown


class Codebook(NamedTuple):
    """Codes and the mean metrics of the data that they were made for."""

    codes: Float[np.ndarray, "S K d"]
    """A token gets one code of each of the S quantizers; its latent is their sum."""
    position_metrics: Float[np.ndarray, "h w d d"]
    """Mean of JᵀJ over the data at each position of the grid, intensity²; for grids of any size (1, 1, d, d), the mean over all
    positions. Where grids are large, the metric of quantization steps may stand in its place, see
    `geovq.codebook.fit_step_metric`."""

    @property
    def mean_metric(self) -> Float[np.ndarray, "d d"]:
        """Mean of JᵀJ over all positions."""
        return self.position_metrics.mean(axis=(0, 1))

    @property
    def num_codes(self) -> int:
        """K, of each quantizer."""
        return self.codes.shape[1]

    @property
    def num_quantizers(self) -> int:
        """S, the codes of a token."""
        return self.codes.shape[0]

    def metrics_on(self, grid: tuple[int, ...]) -> Float[np.ndarray, "h w d d"]:
        """Mean metric at every position of a grid (h, w), a view.

        Raises:
            InputError: A grid of another size than that of the metrics, where they differ by position.
        """
        found = self.position_metrics.shape[:2]
        if found not in ((1, 1), tuple(grid)):
            raise InputError(
                f"latents: expected grids of {found[0]}x{found[1]}, for whose positions there are mean metrics, found "
                f"{grid[0]}x{grid[1]}; pass a Codebook with one mean metric (1, 1, d, d)."
            )
        return np.broadcast_to(self.position_metrics, (*grid, *self.position_metrics.shape[2:]))

    def without_positions(self) -> Self:
        """The same codes with the mean over all positions alone, for grids of any size."""
        return self._replace(position_metrics=self.mean_metric[None, None])


class Inputs(NamedTuple):
    """What tokens are assigned to: n grids of latents, and what is known of each."""

    latents: Float[np.ndarray, "n h w d"]
    images: Float[np.ndarray, "n H W C"] | None = None
    """What the latents are of, in [0, 1]; for assigners that `needs_images`."""
    metrics: Float[np.ndarray, "n h w d d"] | None = None
    """The tokens' own metrics where they are at hand; assigners that `needs_metrics` compute them otherwise."""
    start: Int[np.ndarray, "n h w S"] | None = None
    """Tokens from which an assigner that `needs_images` goes on; without them each has a start of its own."""
    code_costs: Float[np.ndarray, "n h w S K"] | None = None
    """What every code of every token costs beside its image's squared error, intensity²; for those that `takes_code_costs`."""


class Training(NamedTuple):
    """What the statistics of a `MeasuredAssigner` can be measured from."""

    encode: Callable
    images: np.ndarray | None = None
    """Training images (n, H, W, C), uint8 or floats in [0, 1]."""
    geometry: Geometry | None = None
    """The measured graph of training latents."""
    seed: int = 0


class Passes(NamedTuple):
    """Passes through the decoder by which an assigner finds the tokens of one image, and what it holds for it."""

    decodes: int = 0
    """Forward passes; a linearisation is one of them."""
    tangents: int = 0
    """Forward-mode products, each about as expensive as a forward pass."""
    cotangents: int = 0
    """Reverse-mode products, each about as expensive as two."""
    at_once: int = 0
    """Passes that are made at once where a plan allows it."""
    jacobian_rows: int = 0
    """Images that are held: rows of a Jacobian, or probes."""
    numbers: int = 0
    """Numbers that are held beside them, such as those of JᵀJ."""

    @property
    def forward(self) -> int:
        """Passes in forward mode."""
        return self.decodes + self.tangents

    @property
    def reverse(self) -> int:
        """Passes in reverse mode, as so many forward passes."""
        return 2 * self.cotangents

    def plus(self, other: "Passes", times: int = 1) -> "Passes":
        """These passes, and others made so many times after them."""
        return Passes(
            *(a + times * b for a, b in zip(self[:3], other[:3], strict=True)),
            *(max(a, b) for a, b in zip(self[3:], other[3:], strict=True)),
        )


GRADIENT = Passes(decodes=1, cotangents=1, at_once=1)
"""Of an image's error."""


class Assigner(abc.ABC):
    """Latents to tokens. Frozen dataclasses: their fields are options and statistics."""

    needs_images: ClassVar[bool] = False
    """Whether it looks at the image itself; then it can also go on from given tokens."""
    needs_metrics: ClassVar[bool] = False
    """Whether it uses the metric of every token."""
    takes_code_costs: ClassVar[bool] = False
    """Whether it can weigh the image's error against what codes cost beside it."""
    max_quantizers: ClassVar[int] = MAX_QUANTIZERS
    """Codes of a token at most."""

    @property
    def needs_positions(self) -> bool:
        """Whether it uses a statistic of every position, and so takes grids of one size alone."""
        return False

    @abc.abstractmethod
    def __call__(
        self, decode: Partial, codebook: Codebook, inputs: Inputs, *, plan: Plan, progress: Progress | None = None
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens of latents.

        Args:
            decode: Takes one grid (h, w, d) to one image (H, W, C).
            codebook: Codes and mean metrics.
            inputs: The latents, and what is known of them.
            plan: How much at once and on which devices, where the decoder is run.
            progress: Called with the images done.

        Returns:
            int32, in 0..K-1 unless the assigner says otherwise.

        Raises:
            InputError: A decoder without derivatives, where they are needed, or results that are not finite.
        """

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """Passes through the decoder for the tokens of one image at most.

        Args:
            shape: Of its latents, (h, w, d).
            codebook: Codes and mean metrics.
        """
        return Passes()


class MeasuredAssigner(Assigner):
    """An assigner with statistics of training images, without which it assigns nothing."""

    needs_geometry: ClassVar[bool] = False
    """Whether its statistics are measured in the graph of training latents; else they are measured from training images."""

    @abc.abstractmethod
    def is_measured(self, codebook: Codebook) -> bool:
        """Whether the statistics are there, and are those of this codebook."""

    @abc.abstractmethod
    def measure(
        self,
        decode: Partial,
        codebook: Codebook,
        training: Training,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """The same assigner with its statistics.

        Args:
            decode: Takes one grid to one image.
            codebook: Codes and mean metrics.
            training: What the statistics are measured from.
            plan: How much at once and on which devices, where the encoder or the decoder is run.
            progress: Called with the images done.

        Raises:
            InputError: What it needs is not in `training`.
        """


def check_assigner(assigner: Assigner, num_quantizers: int, *, any_size: bool = False) -> None:
    """Refuses what is no assigner, or cannot assign so many codes to a token, or needs one grid where there are many.

    Args:
        assigner: What is checked.
        num_quantizers: S, the codes of a token.
        any_size: Whether grids may have any size.

    Raises:
        InputError: With what was found, and what to do.
    """
    if not isinstance(assigner, Assigner):
        raise InputError(
            f"assigner: expected an assigner such as geovq.Joint() or geovq.Whitened(), found {shown(assigner)}; make one."
        )
    if num_quantizers > assigner.max_quantizers:
        raise InputError(
            f"assigner: {type(assigner).__name__} expects at most {assigner.max_quantizers} codes a token, found "
            f"{num_quantizers}; choose another assigner."
        )
    if any_size and assigner.needs_positions:
        raise InputError(
            "assigner: expected one without statistics of positions, as this VAE takes images of any size, found "
            f"{type(assigner).__name__} with per_position=True; use Whitened()."
        )


def check_measured(assigner: Assigner, codebook: Codebook) -> None:
    """Refuses an assigner whose statistics are missing, or are those of other codes.

    Raises:
        InputError: With how to get them.
    """
    if isinstance(assigner, MeasuredAssigner) and not assigner.is_measured(codebook):
        name = type(assigner).__name__
        raise InputError(
            f"assigner: {name} expects statistics of these codes, found none; get them by Tokenizer.fit(..., "
            f"assigner={name}()) or Tokenizer.replace(assigner={name}(), ...)."
        )


def check_dampings(dampings: tuple[float, ...]) -> tuple[float, ...]:
    """Weights of the mean metric that a step tries, as a tuple.

    Raises:
        InputError: None, or some that are negative or not finite.
    """
    found = as_array("dampings", dampings)
    if found.ndim != 1 or not found.size or (check_real("dampings", found) < 0).any():
        raise InputError(
            f"dampings: expected one or more finite numbers of at least 0, found {shown(dampings)}; change them."
        )
    return tuple(float(value) for value in found)
