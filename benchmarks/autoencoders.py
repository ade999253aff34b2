"""Are published autoencoders read as their authors mean them? Their reconstructions of the Kodak images, in dB.

    python -m benchmarks.autoencoders --autoencoders DIR --photographs DIR

Two minutes on two CPU cores. The first folder has taesd_encoder.safetensors and so on, the second the 24 Kodak images, in itself
or in its subfolder kodak. Each autoencoder reconstructs the 256x256 centre crop of every image, clipped and rounded to 8 bits.
Writes benchmarks/results/autoencoders.json.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from benchmarks.common.harness import FOLDER, markdown, save
from benchmarks.common.rows import Row, mean_row
from geovq.corpus.pixels import read_image
from geovq.validation import InputError
from train.run.command_line import run_program

NAMES = ("taesd", "taesd3", "taef1")
"""The published autoencoders that are measured."""

SIDE = 256
"""Pixels of a crop, along both sides."""

IMAGES = 24
"""Images of the Kodak set."""

AT_ONCE = 4
"""Crops in a batch."""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.autoencoders", description=__doc__, formatter_class=raw)
    for flag, said in (("autoencoders", "folder of published weights"), ("photographs", "folder of the Kodak images")):
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True, help=said)
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def centre_crops(folder: pathlib.Path) -> UInt8[np.ndarray, "n 256 256 3"]:
    """The centres of all Kodak images, in the order of their names.

    Args:
        folder: The folder with the images, or the one above its subfolder kodak.

    Raises:
        InputError: Not all images are there, or one is too small.
    """
    inside = folder / "kodak" if (folder / "kodak").is_dir() else folder
    paths = sorted(inside.glob("*.png"))
    if len(paths) != IMAGES:
        raise InputError(f"{inside}: expected the {IMAGES} Kodak images as PNG, found {len(paths)}; give their folder.")
    return np.stack([_centre(path) for path in paths])


def _centre(path: pathlib.Path) -> UInt8[np.ndarray, "256 256 3"]:
    image = read_image(path)
    top, left = ((size - SIDE) // 2 for size in image.shape[:2])
    if min(top, left) < 0:
        raise InputError(f"{path}: expected at least {SIDE}x{SIDE} pixels, found {image.shape[:2]}; restore the file.")
    return image[top : top + SIDE, left : left + SIDE]


def table(rows: list[Row]) -> str:
    """What each autoencoder makes of photographs, before any tokens."""
    cells = [[r["autoencoder"], r["latent_channels"], r["value"], f"{r['low']:.2f} to {r['high']:.2f}"] for r in rows]
    return markdown(["autoencoder", "latent channels", "PSNR dB", "95% interval over images"], cells)


def main() -> None:
    """Runs the benchmark."""
    options = parse_options()

    from geovq.batching.chunks import map_chunks
    from geovq.decoder.adapters import from_nnx
    from geovq.models.tiny_autoencoder import TinyAutoencoder
    from geovq.scores.reconstruction import psnr

    models = {name: TinyAutoencoder.from_pretrained(options.autoencoders, name) for name in NAMES}
    crops = centre_crops(options.photographs)
    rows: list[Row] = []
    for name, model in models.items():
        latents = map_chunks(from_nnx(model.encoder), crops.astype(np.float32) / 255, chunk=AT_ONCE)
        decoded = map_chunks(from_nnx(model.decoder), latents, chunk=AT_ONCE)
        eight_bits = np.rint(255 * np.clip(decoded, 0, 1)).astype(np.uint8)
        fields: Row = {
            "case": "continuous",
            "system": "vae",
            "decoder": "frozen",
            "autoencoder": name,
            "images": "kodak",
        }
        sizes: Row = {"latent_channels": model.config.latent_channels, "side": SIDE}
        rows.append(mean_row(fields | sizes, "psnr", psnr(crops, eight_bits)))
    print(table(rows))
    save("autoencoders", rows, [], f"{IMAGES} centre crops of {SIDE}x{SIDE} pixels", options.output)


if __name__ == "__main__":
    run_program(main)
