"""Sizes of the two networks and the names of what can be chosen; free of jax, so that programs answer --help at once."""

import dataclasses
from typing import Literal, get_args

CodebookName = Literal["kmeans", "whitened", "metric", "refined", "euclidean", "geodesic"]
AssignmentName = Literal[
    "euclidean", "whitened", "whitened-position", "local", "geodesic", "amortised", "joint", "decoded"
]
BaselineName = Literal["vqvae", "fsq"]
StackingName = Literal["residual", "product"]
ComponentsName = Literal["bridge", "drop"]
StartName = Literal["codes", "random"]
DatasetName = Literal["fashion_mnist", "mnist", "digits"]

CODEBOOKS: tuple[str, ...] = get_args(CodebookName)
OF_MEANS: tuple[str, ...] = ("kmeans", "whitened", "metric", "refined")
"""Codebooks whose codes are means: only they can have several stages."""

ASSIGNMENTS: tuple[str, ...] = get_args(AssignmentName)
COMPONENTS: tuple[str, ...] = get_args(ComponentsName)
STACKINGS: tuple[str, ...] = get_args(StackingName)

TAKES_PRICES: tuple[str, ...] = ("amortised", "joint")
"""Assignments that can weigh the image's error against what tokens cost beside it."""


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """Sizes of a SpatialVAE."""

    image_shape: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels of an image."""
    grid: tuple[int, int] = (4, 4)
    """Token grid (h, w); at most the image's size."""
    latent_dim: int = 16
    """Latent dimensions d of a token."""
    width: int = 24
    """Channels at the finest resolution inside; twice as many below it."""
    max_width: int = 64
    """Channels at any resolution never exceed this."""


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """Sizes of a GPT over the tokens of an image."""

    codes: int
    """Size K of the codebook; tokens are 0..K-1."""
    grid: tuple[int, int]
    """Token grid (h, w) of an image, whose tokens are taken in raster order."""
    classes: int = 0
    """Classes that it is conditioned on, labels 0..classes-1; the label `classes` is that of no class. 0 = unconditional."""
    layers: int = 4
    """Transformer blocks; at least 1."""
    width: int = 256
    """Channels of the residual stream; a multiple of heads."""
    heads: int = 4
    """Attention heads."""
    dropout: float = 0.1
    """Fraction of channels dropped in training, in [0, 1)."""
    class_dropout: float = 0.0
    """Fraction of labels replaced by that of no class in training, in [0, 1): what guidance needs."""
    bfloat16: bool = False
    """Whether the matrix products of the blocks are in half precision; weights, sums and likelihoods stay in float32."""

    @property
    def length(self) -> int:
        """Tokens t of an image."""
        return self.grid[0] * self.grid[1]
