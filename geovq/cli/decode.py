"""geovq decode: images of tokens, as PNG files."""

import argparse
import pathlib

import numpy as np

from geovq.cli.loading import load, plan_of, same_command
from geovq.cli.progress import Progress
from geovq.cli.stopping import stoppable
from geovq.corpus.token_shards import open_tokens
from geovq.storage import stored_digest
from geovq.validation import InputError


def run(options: argparse.Namespace) -> None:
    """Decodes every image that has no file yet."""
    from PIL import Image

    tokens = open_tokens(options.tokens)
    if tokens.header.tokenizer != stored_digest(options.tokenizer):
        raise InputError(f"{options.tokens}: expected tokens of {options.tokenizer}, found those of another tokenizer; pass that.")
    tokenizer = load(options)
    with stoppable() as stop, Progress("decode", len(tokens), "images") as progress:
        for image in tokens:
            path = options.out / pathlib.PurePosixPath(image.name).with_suffix(".png")
            if not path.exists():
                decoded = tokenizer.decode(image.tokens[None].astype(np.int32), plan=plan_of(options))[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_name(f".{path.name}")
                Image.fromarray(np.round(255 * decoded).astype(np.uint8)).save(unfinished, "PNG")
                unfinished.replace(path)
            progress(1)
            if stop():
                print(f"stopped; this goes on: {same_command()}")
                raise SystemExit(130)
    print(f"decode: {len(tokens):,} images -> {options.out}")
