"""Sizes of the networks; free of jax, so that programs answer --help at once."""

import dataclasses
from typing import Literal

CodeLayout = Literal["sequence", "heads"]
"""How a Transformer models the S codes of a token, see `GPTConfig.code_layout`."""


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
    rotary: bool = False
    """Whether queries and keys are rotated by their row and column (2-D rotary positions), instead of learned vectors that are
    added; heads then have a multiple of 4 channels."""
    rematerialize: bool | None = None
    """Whether training computes the inside of each block again for the gradient instead of keeping it: less memory, more work.
    None does so where a batch's blocks would keep more than 4 GiB, on all devices together."""
    num_quantizers: int = 1
    """Codes S of a token, each 0..K-1."""
    code_layout: CodeLayout = "sequence"
    """With several codes: sequence gives every code a position of its own, t·S of them; heads gives each token one position,
    whose S codes are predicted one after the other by S heads."""

    @property
    def length(self) -> int:
        """Tokens t of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def codes_per_position(self) -> int:
        """Codes that one position of the sequence predicts."""
        return self.num_quantizers if self.code_layout == "heads" else 1

    @property
    def num_positions(self) -> int:
        """Positions of the sequence that the blocks see."""
        return self.length * self.num_quantizers // self.codes_per_position

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Shape of an image's tokens: (t,), or (t, S) with several codes."""
        return (self.length,) if self.num_quantizers == 1 else (self.length, self.num_quantizers)


@dataclasses.dataclass(frozen=True)
class TinyAutoencoderConfig:
    """Sizes of a TinyAutoencoder; as the published TAESD has them."""

    latent_channels: int = 4
    """Channels d of a latent: 4 for taesd and taesdxl, 16 for taesd3 and taef1."""
    width: int = 64
    """Channels of all blocks."""
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    """Blocks of the encoder at each resolution, image first; each is half the one before."""
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    """Blocks of the decoder at each resolution, grid first; as many resolutions as the encoder has."""
    image_channels: int = 3
    """Channels C of an image."""
    scaling_factor: float = 1.0
    """Latents are the encoder's output, less the shift, times this; not zero."""
    shift_factor: float = 0.0
    """See scaling_factor."""

    @property
    def stride(self) -> int:
        """Pixels for each token, along each side."""
        return 2 ** (len(self.num_encoder_blocks) - 1)


@dataclasses.dataclass(frozen=True)
class AutoencoderKLConfig:
    """Sizes of an AutoencoderKL; as Stable Diffusion 1.x and 2.x have them. The fields are keys of diffusers' config.json."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    """Channels at each resolution, image first; multiples of norm_num_groups."""
    layers_per_block: int = 2
    """Residual blocks of the encoder at each resolution; the decoder has one more."""
    latent_channels: int = 4
    """Channels d of a latent: 4 for Stable Diffusion 1.x, 2.x and SDXL, 16 for SD3 and FLUX."""
    norm_num_groups: int = 32
    """Groups of channels that are normalized together."""
    image_channels: int = 3
    """Channels C of an image; in_channels and out_channels in config.json."""
    scaling_factor: float = 0.18215
    """Latents are posterior means, less the shift, times this; not zero."""
    shift_factor: float = 0.0
    """See scaling_factor."""
    use_quant_conv: bool = True
    """Whether a 1x1 convolution follows the encoder; not so in SD3 and FLUX."""
    use_post_quant_conv: bool = True
    """Whether a 1x1 convolution precedes the decoder; not so in SD3 and FLUX."""
    mid_block_add_attention: bool = True
    """Whether the coarsest resolution has self-attention."""

    @property
    def stride(self) -> int:
        """Pixels for each token, along each side."""
        return 2 ** (len(self.block_out_channels) - 1)
