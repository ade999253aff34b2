"""A tokenizer's file with its autoencoder, and the assigner that the options name."""

import argparse
import pathlib

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.autoencoders import load_autoencoder
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.tokenizer.file import Source, Summary, parameters_digest, summarize
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

_THROUGH_DECODER = {"amortised": Amortised, "joint": Joint, "greedy": Greedy}


def load(options: argparse.Namespace) -> tuple[Tokenizer, Summary]:
    """The tokenizer of a file with the autoencoder that it was fitted to, and the assigner that was asked for.

    Args:
        options: `tokenizer`, `autoencoder`, `memory`, and for commands that encode `assigner` and `perceptual`.

    Raises:
        InputError: A missing or damaged file, another autoencoder, or an assigner that the file has no statistics for.
    """
    found = summarize(options.tokenizer)
    source = found.autoencoder
    path = options.autoencoder or (source.path if source else None)
    if path is None:
        raise InputError(
            f"{options.tokenizer}: expected a tokenizer that names its autoencoder, found one that does not; pass --autoencoder."
        )
    try:
        vae = load_autoencoder(path)
    except InputError as error:
        if options.autoencoder:
            raise
        raise InputError(f"{error} If its weights are elsewhere now, pass --autoencoder.") from error
    if source and (sha256 := parameters_digest(vae.encode, vae.decode)) != source.sha256:
        raise InputError(
            f"{path}: expected the autoencoder that {options.tokenizer} was fitted to, sha256 {source.sha256[:16]}, found "
            f"another, {sha256[:16]}; pass its weights with --autoencoder."
        )
    tokenizer = Tokenizer.load(options.tokenizer, vae.encode, vae.decode, plan=plan_of(options))
    return _with_assigner(tokenizer, options), found


def _with_assigner(tokenizer: Tokenizer, options: argparse.Namespace) -> Tokenizer:
    if getattr(options, "assigner", None) is None:
        if getattr(options, "perceptual", 0):
            raise InputError(
                "perceptual: expected --assigner joint, amortised or greedy beside it, found none; name one."
            )
        return tokenizer
    assigner = make_assigner(options.assigner, options.perceptual)
    if type(assigner) is type(tokenizer.assigner) and not options.perceptual:
        return tokenizer  # with the statistics of the file
    if isinstance(assigner, Amortised):
        raise InputError(
            f"{options.tokenizer}: expected a tokenizer that was fitted with this assigner, which is measured on images, found "
            f"another; run geovq fit ... --assigner amortised --perceptual {options.perceptual:g}."
        )
    return tokenizer.replace(assigner=assigner)


def make_assigner(name: str, perceptual: float) -> Assigner:
    """An assigner by its name.

    Raises:
        InputError: A weight of LPIPS for one that has none.
    """
    if name in _THROUGH_DECODER:
        return _THROUGH_DECODER[name](perceptual=perceptual)
    if perceptual:
        raise InputError(f"perceptual: expected an assigner that runs the decoder, found {name}; choose joint.")
    return Whitened() if name == "whitened" else Nearest()


def name_source(path: str, vae: TinyAutoencoder | AutoencoderKL) -> Source:
    """What a tokenizer's file says of its autoencoder, which was read from the path."""
    given = pathlib.Path(path).expanduser()
    known = given.absolute().as_posix() if given.parent.is_dir() else path
    return Source(known, parameters_digest(vae.encode, vae.decode))


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan with the memory that was asked for.

    Raises:
        InputError: Memory that is no positive number.
    """
    if options.memory is None:
        return DEFAULT_PLAN
    if not 0 < options.memory < float("inf"):
        raise InputError(f"memory: expected GiB above 0, found {options.memory:g}; pass --memory 4, say.")
    return DEFAULT_PLAN._replace(memory=int(options.memory * (1 << 30)))
