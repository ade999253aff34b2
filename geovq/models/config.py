"""Sizes of the VAE and the Transformer; free of jax, so that programs answer --help at once."""

import dataclasses


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

    num_codes: int
    """Size K of the codebook; tokens are 0..K-1."""
    grid: tuple[int, int]
    """Token grid (h, w) of an image, whose tokens are taken in raster order."""
    classes: int = 0
    """Classes that it is conditioned on, labels 0..classes-1; the label `classes` stands for no class. 0 = unconditional."""
    layers: int = 4
    """Transformer blocks; at least 1."""
    width: int = 256
    """Channels of the residual stream; a multiple of heads."""
    heads: int = 4
    """Attention heads."""
    dropout: float = 0.1
    """Fraction of channels dropped in training, in [0, 1)."""
    class_dropout: float = 0.0
    """Fraction of labels replaced by no class in training, in [0, 1); guidance needs some."""
    bfloat16: bool = False
    """Whether the matrix products of the blocks are in half precision; weights, sums and likelihoods stay in float32."""

    @property
    def length(self) -> int:
        """Tokens t of an image."""
        return self.grid[0] * self.grid[1]
