"""geovq encode: tokens of a corpus, in a folder of shards."""

import argparse
import itertools
import sys
import time

from geovq.batching import processes
from geovq.cli.interruption import end_stopped, stoppable
from geovq.cli.loading import load, plan_of
from geovq.cli.progress import Progress, as_time
from geovq.corpus.encoding import count_images, encode_corpus
from geovq.corpus.sources import open_images
from geovq.corpus.token_folder import open_tokens
from geovq.validation import InputError

_LISTED = 5
"""Images without tokens that are named; `geovq info` names all."""


def run(options: argparse.Namespace) -> None:
    """Encodes what is not there yet, and says what to run next."""
    shards = open_images(options.images, labels=options.labels)
    tokenizer, summary = load(options)
    before, total = count_images(shards, options.out)
    if before:
        print(f"encode: going on after {before:,} of {total:,} images", flush=True)
    began = time.monotonic()
    with stoppable() as stop, Progress("encode", total, "images", before) as progress:
        found = encode_corpus(
            tokenizer,
            summary.sha256,
            shards,
            options.out,
            pad=not options.no_pad,
            plan=plan_of(options),
            progress=lambda images, left_out: progress(images + left_out),
            stop=stop,
        )
    if processes.part().index:
        return  # the first process speaks for all
    done = found.images + found.left_out
    if not found.complete:
        end_stopped(f"{before + done:,} of {total:,} images")
    _summarize(options, done, time.monotonic() - began)


def _summarize(options: argparse.Namespace, done: int, seconds: float) -> None:
    tokens = open_tokens(options.out)
    if done:
        print(f"encode: {done:,} images in {as_time(seconds)}, {done / seconds:.3g} a second")
    else:
        print("encode: nothing to do")
    left_out = sum(entry.left_out for entry in tokens.entries)
    for each in itertools.islice(tokens.left_out(), _LISTED):
        print(f"left out: {each.name}: {each.why.removeprefix(f'{each.name}: ')}", file=sys.stderr)
    if left_out > _LISTED:
        print(f"left out: {left_out:,} images in all; geovq info {options.out} lists them", file=sys.stderr)
    print(f"{tokens!r} in {options.out}; {left_out:,} images were left out")
    if not len(tokens):
        raise InputError(f"{options.images}: expected images that can be encoded, found none; see why above.")
    print(f"next: geovq decode {options.tokenizer} {options.out} --out images")
