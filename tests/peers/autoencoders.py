"""Small autoencoders in PyTorch that the tests of `from_torch` share. Imports PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SIDE, LATENTS = 8, 4

traces: list[str] = []
"""Grows whenever `Convolutions` runs or is traced."""


class Attention(nn.Module):
    """Self-attention over the pixels, as in the middle of large autoencoders."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Conv2d(width, 3 * width, 1)

    def forward(self, x):
        q, k, v = self.qkv(x).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + mixed.transpose(1, 2).reshape(x.shape)


class Convolutions(nn.Module):
    """Channels first, stride 2, with the layers that autoencoders have."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Dropout(0.5),
            nn.Conv2d(8, LATENTS, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENTS, 8, 3, padding=1),
            nn.GroupNorm(2, 8),
            nn.GELU(),
            Attention(8),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.LeakyReLU(),
            nn.Conv2d(8, 3, 3, padding=1, padding_mode="reflect"),
        )
        self.encoder[1].running_mean.uniform_(-1, 1)
        self.encoder[1].running_var.uniform_(0.5, 2)

    def encode(self, x):
        traces.append("encode")
        return self.encoder(x)

    def decode(self, z):
        traces.append("decode")
        return self.decoder(z)


class Transposed(nn.Module):
    """Transposed convolutions, pixel shuffling, bilinear upsampling, and channels-last norms in between."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, LATENTS, 3, padding=1), nn.Hardtanh())
        self.norm = nn.LayerNorm(8)
        self.up = nn.ConvTranspose2d(LATENTS, 8, 4, stride=2, padding=1)
        self.out = nn.Conv2d(8, 3, 3, padding=1)

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        y = self.norm(self.up(z).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        small = functional.avg_pool2d(y, 2)
        smooth = functional.interpolate(small, scale_factor=2, mode="bilinear")
        uneven = functional.interpolate(functional.interpolate(small, size=(3 * y.shape[2] // 2, 3)), size=y.shape[2:])
        return torch.sigmoid(self.out(functional.elu(y) + smooth + uneven))


class Shared(nn.Module):
    """One layer used twice, one weight under two names, both kinds of weight norm, and a tensor that is no buffer."""

    def __init__(self):
        super().__init__()
        self.inner = nn.utils.parametrizations.weight_norm(nn.Conv2d(LATENTS, LATENTS, 3, padding=1))
        self.again = self.inner
        self.into = nn.Conv2d(12, LATENTS, 1, bias=False)
        self.out_of = nn.Conv2d(LATENTS, 12, 1)
        self.tied = nn.Linear(12, LATENTS, bias=False)
        self.tied.weight = nn.Parameter(self.into.weight[:, :, 0, 0].detach().clone())
        self.also = nn.Linear(12, LATENTS, bias=False)
        self.also.weight = self.tied.weight
        self.gain = torch.linspace(0.5, 2, LATENTS)[:, None, None]

    def encode(self, x):
        parts = functional.pixel_unshuffle(x, 2)
        rows = parts.permute(0, 2, 3, 1)
        return self.gain * self.into(parts) + (self.tied(rows) + self.also(rows)).permute(0, 3, 1, 2)

    def decode(self, z):
        return functional.pixel_shuffle(self.out_of(torch.tanh(self.again(torch.tanh(self.inner(z))))), 2)


class Creating(nn.Module):
    """Creates tensors on its way, and writes into them."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, LATENTS, 2, stride=2)

    def encode(self, x):
        mean = torch.tensor([0.4, 0.5, 0.6])[:, None, None]
        return self.layer((x - mean) / torch.full((1, 3, 1, 1), 0.5, device=x.device))

    def decode(self, z):
        images = torch.zeros(len(z), 3, 2 * z.shape[2], 2 * z.shape[3])
        images[:, :2] = functional.interpolate(z[:, :2].tanh(), scale_factor=2)
        images[:, 2, ::2, ::2] += z[:, 2] * z[:, 3]
        images.clamp_(-0.9, 0.9)
        return images.mul_(torch.linspace(0.5, 1, images.shape[3]))


class Dense(nn.Module):
    """Channels last, one linear layer each way over patches of 2x2 pixels."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(12, LATENTS), nn.Linear(LATENTS, 12)

    def encode(self, x):
        n, height, width, _ = x.shape
        patches = x.reshape(n, height // 2, 2, width // 2, 2, 3).permute(0, 1, 3, 2, 4, 5)
        return self.down(patches.reshape(n, height // 2, width // 2, 12))

    def decode(self, z):
        n, h, w, _ = z.shape
        return self.up(z).reshape(n, h, w, 2, 2, 3).permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, 3)


def make(kind: Callable[[], Any], seed: int = 0) -> Any:
    """A module with weights by seed, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind().eval()
