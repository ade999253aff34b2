"""The program `geovq`: options, and which command they are for."""

import argparse
import importlib
import os
import pathlib
import sys
from collections.abc import Sequence

from geovq.codebook.names import CODEBOOKS, COMPOSITIONS
from geovq.validation import InputError

ASSIGNERS = ("whitened", "nearest", "amortised", "joint", "greedy")

_EPILOG = """\
A first run, from a folder of weights and a folder of photographs:

  geovq fit --autoencoder weights/taesd --images photographs --num-codes 1024 --quantizers 2 --out photos.npz
  geovq encode photos.npz photographs --out tokens
  geovq decode photos.npz tokens --out images
  geovq score photos.npz photographs
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "geovq", description="Turns a trained autoencoder into a discrete tokenizer.", epilog=_EPILOG, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="fit codes to photographs, and write a tokenizer")
    fit.add_argument("--autoencoder", required=True, help="folder of diffusers, or the author's files, such as weights/taesd")
    fit.add_argument("--images", required=True, type=pathlib.Path, help="folder of photographs")
    fit.add_argument("--out", required=True, type=pathlib.Path, help="the tokenizer's file, .npz")
    fit.add_argument("--num-codes", type=int, default=512, help="codes K of each quantizer (512)")
    fit.add_argument("--quantizers", type=int, default=1, help="codes S of a token (1); 2 or 4 for 16 channels")
    fit.add_argument("--codebook", choices=CODEBOOKS, default="whitened", help="how codes are fitted (whitened)")
    fit.add_argument("--composition", choices=COMPOSITIONS, default="residual", help="of several codes (residual)")
    fit.add_argument("--crop", type=int, default=256, help="pixels of a side of the crops that it is fitted to (256)")
    fit.add_argument("--crops", type=int, default=200, help="how many (200)")
    fit.add_argument("--seed", type=int, default=0, help="of every random choice (0)")
    _add_assigner(fit)
    encode = commands.add_parser("encode", help="write tokens of images to disk")
    encode.add_argument("tokenizer", type=pathlib.Path, help="what fit wrote")
    encode.add_argument("images", type=pathlib.Path, help="folder of images, or of .tar, .npy, .npz or .array_record files, or one of these")
    encode.add_argument("--out", required=True, type=pathlib.Path, help="folder of the tokens; the same again goes on")
    encode.add_argument("--labels", action="store_true", help="the name of an image's folder is its label")
    encode.add_argument("--no-pad", action="store_true", help="refuse sizes that the stride does not divide")
    _add_autoencoder(encode)
    _add_assigner(encode, None)
    decode = commands.add_parser("decode", help="write the images of tokens as PNG files")
    decode.add_argument("tokenizer", type=pathlib.Path, help="what fit wrote")
    decode.add_argument("tokens", type=pathlib.Path, help="what encode wrote")
    decode.add_argument("--out", required=True, type=pathlib.Path, help="folder of the images")
    _add_autoencoder(decode)
    score = commands.add_parser("score", help="how well images come back: PSNR, SSIM, LPIPS")
    score.add_argument("tokenizer", type=pathlib.Path, help="what fit wrote")
    score.add_argument("images", type=pathlib.Path, help="as for encode")
    score.add_argument("--at-most", type=int, default=100, help="images that are scored, the first ones (100)")
    _add_autoencoder(score)
    _add_assigner(score, None)
    info = commands.add_parser("info", help="what a tokenizer's file or a folder of tokens holds")
    info.add_argument("path", type=pathlib.Path, help="what fit or encode wrote")
    return parser.parse_args(arguments)


def _add_autoencoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--autoencoder", help="where its weights are now, if not where they were for fit")
    parser.add_argument("--memory", type=_gibibytes, help="GiB that a device may take; half of what it has if not given")


def _add_assigner(parser: argparse.ArgumentParser, default: str | None = "whitened") -> None:
    given = "" if default is None else f" ({default})"
    said = "how tokens are chosen: whitened takes no decoder, joint the best images" + given
    parser.add_argument("--assigner", choices=ASSIGNERS, default=default, help=said)
    parser.add_argument("--perceptual", type=float, default=0.0, help="weight of LPIPS for joint, amortised, greedy; 0.01 for photographs (0)")


def _gibibytes(text: str) -> int:
    return int(float(text) * (1 << 30))


def main() -> None:
    """Runs the command; bad input ends it with one line and status 2."""
    options = parse()
    try:
        importlib.import_module(f"geovq.cli.{options.command}").run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}; free space or mend the path, and run the same command again.", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on.", file=sys.stderr)
        sys.stdout.flush()
        os._exit(130)  # threads of the compiler may be at work still, and would crash an orderly end


if __name__ == "__main__":
    main()
