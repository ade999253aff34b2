"""What does a PyTorch module cost beside the same network in JAX? TAESD through `from_torch`, and read by `TinyAutoencoder`.

    make peers                                            # an environment with PyTorch and torchax
    .venv-peers/bin/python -m benchmarks.torch_modules --autoencoders DIR

Two minutes on two CPU cores. The folder has taesd_encoder.safetensors and taesd_decoder.safetensors. Both must give the same
latents and images before they are timed in turn. Writes benchmarks/results/torch_modules.json.
"""

import argparse
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.common.harness import FOLDER, in_turn, markdown, save
from benchmarks.common.rows import Row, ratio_row, row_of, select, spread_row
from train.run.command_line import run_program

NAME = "taesd"
"""The published autoencoder."""

IMAGES, SIDE = 2, 128
"""Random images of a batch, and their pixels along both sides."""

ROUNDS = 7
"""Each times every way once."""

WAYS = ("native", "from_torch")
"""The network in JAX, and through torchax."""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.torch_modules", description=__doc__, formatter_class=raw)
    parser.add_argument("--autoencoders", type=pathlib.Path, required=True, help="folder of published weights")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def taesd(channels: int = 4, width: int = 64) -> tuple[Any, Any]:
    """Encoder and decoder of TAESD in PyTorch, with initial weights under the names of the author's files.

    Args:
        channels: Of latents.
        width: Channels in between.

    Returns:
        Two torch.nn.Sequential: images (n, 3, H, W) in [0, 1] -> latents (n, channels, H/8, W/8), and back.

    Source: https://github.com/madebyollin/taesd.
    """
    from torch import nn

    conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
    encoder: list[Any] = [conv(3, width), _block(width)]
    decoder: list[Any] = [_soften(), conv(channels, width), nn.ReLU()]
    for _ in range(3):
        encoder += [conv(width, width, stride=2, bias=False), *(_block(width) for _ in range(3))]
        decoder += [*(_block(width) for _ in range(3)), nn.Upsample(scale_factor=2), conv(width, width, bias=False)]
    return nn.Sequential(*encoder, conv(width, channels)), nn.Sequential(*decoder, _block(width), conv(width, 3))


def _block(width: int) -> Any:
    """Rectified x + three 3x3 convolutions of it, with rectifiers between them."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            three = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
            self.conv = nn.Sequential(three[0], nn.ReLU(), three[1], nn.ReLU(), three[2])

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.conv(x) + x)

    return Block()


def _soften() -> Any:
    """3·tanh(x/3)."""
    import torch

    class Soften(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return 3 * torch.tanh(x / 3)

    return Soften()


def measure(folder: pathlib.Path) -> list[Row]:
    """Seconds of both ways, for everything that GeoVQ does with an autoencoder."""
    import jax
    import jax.numpy as jnp
    from safetensors.torch import load_file

    from geovq.decoder.adapters import from_nnx
    from geovq.decoder.pytorch.modules import from_torch
    from geovq.models.tiny_autoencoder import TinyAutoencoder

    native = TinyAutoencoder.from_pretrained(folder, NAME)
    modules = taesd()
    for module, part in zip(modules, ("encoder", "decoder"), strict=True):
        module.load_state_dict(load_file(folder / f"{NAME}_{part}.safetensors"))
    pairs = dict(zip(WAYS, ((from_nnx(native.encoder), from_nnx(native.decoder)), from_torch(*modules)), strict=True))

    images = jnp.asarray(np.random.default_rng(0).random((IMAGES, SIDE, SIDE, 3), np.float32))
    latents = pairs["native"][0](images)
    for encode, decode in pairs.values():
        np.testing.assert_allclose(encode(images), latents, atol=1e-4)
        np.testing.assert_allclose(decode(latents), pairs["native"][1](latents), atol=1e-4)

    products: dict[str, Callable[..., Any]] = {
        "encode": jax.jit(lambda encode, decode: encode(images)),
        "decode": jax.jit(lambda encode, decode: decode(latents)),
        "Jacobian times a move": jax.jit(lambda encode, decode: jax.jvp(decode, (latents,), (latents,))[1]),
        "probe times the Jacobian": jax.jit(lambda encode, decode: jax.vjp(decode, latents)[1](images)[0]),
    }
    rows = []
    for product, run in products.items():
        calls = {
            way: functools.partial(lambda run, pair: jax.block_until_ready(run(*pair)), run, pairs[way]) for way in WAYS
        }
        seconds = in_turn(calls, ROUNDS)
        for way in WAYS:
            fields: Row = {"case": product, "way": way, "images": IMAGES, "side": SIDE}
            rows += [spread_row(fields, "seconds", seconds[way]), ratio_row(fields, seconds[way], seconds["native"])]
            print(f"{product}, {way}: {rows[-2]['value']:.3f} s", flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """A PyTorch module beside the same network in JAX."""
    cells = []
    for native in select(rows, way="native", score="seconds"):
        theirs, ratio = (row_of(rows, case=native["case"], way="from_torch", score=s) for s in ("seconds", "ratio"))
        spread = f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        cells.append([native["case"], native["value"], theirs["value"], spread])
    return markdown(["of two images", "native, s", "from_torch, s", "ratio, least to greatest"], cells)


def main() -> None:
    """Runs the benchmark."""
    options = parse_options()
    rows = measure(options.autoencoders)
    save(
        "torch_modules", rows, {"images": 0}, f"{ROUNDS} rounds in turn, {IMAGES} images {SIDE}x{SIDE}", options.output
    )
    print(table(rows))


if __name__ == "__main__":
    run_program(main)
