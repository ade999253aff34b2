"""A tokenizer's file with its autoencoder, and the assigner that the options name."""

import argparse
import pathlib
import shlex
import sys

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.models.autoencoders import load_autoencoder
from geovq.tokenizer.file import Source, parameters_digest, read_source
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError


def load(options: argparse.Namespace) -> Tokenizer:
    """The tokenizer of a file with the autoencoder that it was fitted to, and the assigner that was asked for.

    Raises:
        InputError: A missing or damaged file, or another autoencoder.
    """
    source = read_source(options.tokenizer)
    if source is None and options.autoencoder is None:
        raise InputError(
            f"{options.tokenizer}: expected a tokenizer that names its autoencoder, found one that does not; pass --autoencoder."
        )
    path = options.autoencoder or source.path  # type: ignore[union-attr]
    vae = load_autoencoder(path)
    if source is not None and (found := parameters_digest(vae.encode, vae.decode)) != source.sha256:
        raise InputError(
            f"{path}: expected the autoencoder that {options.tokenizer} was fitted to, sha256 {source.sha256[:16]}..., found "
            f"another, {found[:16]}...; pass its weights with --autoencoder."
        )
    tokenizer = Tokenizer.load(options.tokenizer, vae.encode, vae.decode)
    if getattr(options, "assigner", None) is None:
        return tokenizer
    assigner = make_assigner(options.assigner, options.perceptual)
    if type(assigner) is type(tokenizer.assigner) and not options.perceptual:
        return tokenizer  # with the statistics of the file
    return tokenizer.replace(assigner=assigner)


def make_assigner(name: str, perceptual: float) -> Assigner:
    """An assigner by its name.

    Raises:
        InputError: A weight of LPIPS for one that has none.
    """
    if name in ("whitened", "nearest"):
        if perceptual:
            raise InputError(f"perceptual: expected an assigner that runs the decoder, found {name}; choose joint.")
        return Whitened() if name == "whitened" else Nearest()
    kinds = {"amortised": Amortised, "joint": Joint, "greedy": Greedy}
    return kinds[name](perceptual=perceptual)


def name_source(path: str, tokenizer: Tokenizer) -> Source:
    """What a tokenizer's file says of its autoencoder."""
    resolved = pathlib.Path(path).expanduser()
    known = resolved.absolute().as_posix() if resolved.parent.is_dir() else path
    return Source(known, parameters_digest(tokenizer.encoder, tokenizer.decoder))


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan with the memory that was asked for."""
    return DEFAULT_PLAN if options.memory is None else DEFAULT_PLAN._replace(memory=options.memory)


def same_command() -> str:
    """What goes on with this."""
    return shlex.join(["geovq", *sys.argv[1:]])
