"""geovq decode: images of tokens, as PNG files."""

import argparse

from geovq.cli.interruption import end_stopped, stoppable
from geovq.cli.loading import load, plan_of
from geovq.cli.progress import Progress
from geovq.corpus.decoding import decode_corpus
from geovq.corpus.token_folder import open_tokens
from geovq.tokenizer.file import summarize
from geovq.validation import InputError


def run(options: argparse.Namespace) -> None:
    """Decodes every image that has no file yet."""
    tokens = open_tokens(options.tokens)
    if tokens.header.tokenizer != (found := summarize(options.tokenizer).sha256):
        raise InputError(
            f"{options.tokens}: expected tokens of {options.tokenizer}, sha256 {found[:16]}, found those of another tokenizer, "
            f"{tokens.header.tokenizer[:16]}; pass that one's file."
        )
    tokenizer, _ = load(options)
    with stoppable() as stop, Progress("decode", len(tokens), "images") as progress:
        done = decode_corpus(tokenizer, tokens, options.out, plan=plan_of(options), progress=progress, stop=stop)
    if done < len(tokens):
        end_stopped(f"{done:,} of {len(tokens):,} images")
    print(f"decode: {done:,} images in {options.out}")
