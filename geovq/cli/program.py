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

_EXTRA = ("PIL", "grain", "tqdm", "pyarrow")
"""Modules that geovq[corpus] and geovq[parquet] bring."""

_EPILOG = """\
A first run, from a folder of weights and a folder of photographs:

  geovq fit --autoencoder weights/taesd --images photographs --num-codes 1024 --num-quantizers 2 --out photos.npz
  geovq encode photos.npz photographs --out tokens
  geovq decode photos.npz tokens --out images
  geovq score photos.npz photographs
  geovq report photos.npz --images photographs --out report.html

Every command explains itself: geovq fit --help. docs/corpus.md has the whole way.
"""

_SOURCE = (
    "folder of images (PNG, JPEG, WebP; nested, of any sizes), or of .tar (WebDataset), .npy, .npz or .array_record files, or "
    "one such file"
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "geovq",
        description="Turns a trained autoencoder into a discrete tokenizer.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (said, add) in _COMMANDS.items():
        add(commands.add_parser(name, help=said, description=f"{said[0].upper()}{said[1:]}."))
    return parser.parse_args(arguments)


def _add_fit(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--autoencoder", required=True, help="folder of diffusers, or the author's files, such as weights/taesd")
    add("--images", required=True, type=pathlib.Path, help=_SOURCE)
    add("--out", required=True, type=pathlib.Path, help="the tokenizer's file, .npz; an older one is replaced")
    add("--num-codes", type=int, default=512, help="codes K of each quantizer (512)")
    add("--num-quantizers", type=int, default=1, help="codes S of a token (1); 2 or 4 for 16 channels")
    add("--codebook", choices=CODEBOOKS, default="whitened", help="how codes are fitted (whitened)")
    add("--composition", choices=COMPOSITIONS, default="residual", help="of several codes (residual)")
    add("--crop", type=int, default=256, help="pixels of a side of the crops that it is fitted to (256)")
    add("--crops", type=int, default=200, help="how many, drawn at random (200)")
    add("--seed", type=int, default=0, help="of every random choice (0)")
    _add_memory(parser)
    _add_assigner(parser, "whitened")
    _add_distributed(parser)


def _add_encode(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument("images", type=pathlib.Path, help=_SOURCE)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the tokens; the same again goes on")
    parser.add_argument("--labels", action="store_true", help="the name of an image's folder is its label")
    parser.add_argument("--no-pad", action="store_true", help="refuse sizes that the stride does not divide")
    _add_assigner(parser, None)
    _add_distributed(parser)


def _add_decode(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument("tokens", type=pathlib.Path, help="folder that encode wrote")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the images; the same again goes on")


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument("images", type=pathlib.Path, help=_SOURCE)
    parser.add_argument("--max-images", type=int, default=100, help="images that are scored, drawn at random (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    _add_assigner(parser, None)
    _add_distributed(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument("--images", required=True, type=pathlib.Path, help=_SOURCE)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.html"), help="the page (report.html)")
    parser.add_argument("--max-images", type=int, default=6, help="images that are shown, drawn at random (6)")
    parser.add_argument("--crop", type=int, default=256, help="pixels of a side of what is shown of each at most (256)")
    said = "ways to choose tokens that are shown beside the tokenizer's own (nearest whitened)"
    parser.add_argument("--assigners", nargs="*", choices=ASSIGNERS, default=("nearest", "whitened"), help=said)
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    _add_assigner(parser, None)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tokens", type=pathlib.Path, help="folder that encode wrote")
    parser.add_argument("--stream", type=pathlib.Path, help="one flat file of integers; FILE.json beside it says which")
    parser.add_argument("--no-separator", action="store_true", help="no integer between the images of the flat file")
    parser.add_argument("--parquet", type=pathlib.Path, help="a row for each image: name, label, sizes, tokens")


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=pathlib.Path, help="a tokenizer's file, or a folder of tokens")
    parser.add_argument("--verify", action="store_true", help="read all tokens and compare them with their checksums")


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tokenizer", type=pathlib.Path, help="file that fit wrote")
    parser.add_argument("--autoencoder", help="where its weights are now, if not where they were for fit")
    _add_memory(parser)


def _add_distributed(parser: argparse.ArgumentParser) -> None:
    said = "one of several processes, which share the work; docs/scaling.md says how to start them"
    parser.add_argument("--distributed", action="store_true", help=said)


def _add_memory(parser: argparse.ArgumentParser) -> None:
    said = "GiB that passes through the autoencoder may take; on a CPU 2, on an accelerator half of its memory"
    parser.add_argument("--memory", type=float, help=said)


def _add_assigner(parser: argparse.ArgumentParser, default: str | None) -> None:
    given = "as it was fitted" if default is None else default
    said = f"how tokens are chosen: whitened is as fast as the encoder, joint gives the best images ({given})"
    parser.add_argument("--assigner", choices=ASSIGNERS, default=default, help=said)
    said = "weight of LPIPS for joint, amortised and greedy; 0.01 for photographs (0)"
    parser.add_argument("--perceptual", type=float, default=0.0, help=said)


_COMMANDS = {
    "fit": ("fit codes to images, and write a tokenizer", _add_fit),
    "encode": ("write the tokens of images to disk", _add_encode),
    "decode": ("write the images of tokens as PNG files", _add_decode),
    "score": ("say how well images come back: PSNR, SSIM, LPIPS", _add_score),
    "report": ("write one page that shows what the tokens do to images", _add_report),
    "export": ("write tokens as one flat file of integers, or as Parquet", _add_export),
    "info": ("say what a tokenizer's file or a folder of tokens holds", _add_info),
}


def main() -> None:
    """Runs the command; bad input ends it with one line and status 2."""
    options = parse()
    try:
        if getattr(options, "distributed", False):
            importlib.import_module("geovq.batching.processes").join()
        importlib.import_module(f"geovq.cli.{options.command}").run(options)
        sys.stdout.flush()
    except InputError as error:
        _end(f"error: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        _end(f"error: this command needs {error.name}: pip install 'geovq[corpus]'")
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(f"error: {place}{error.strerror or error}; mend the path or free space, and run the same command again.")
    except KeyboardInterrupt:
        print("interrupted; what was written is kept: run the same command again.", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # threads of the compiler may be at work still, and would crash an orderly end


def _end(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
