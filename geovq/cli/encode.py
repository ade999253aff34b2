"""geovq encode: tokens of a corpus, in a folder of shards."""

import argparse
import time

from geovq.cli.loading import load, plan_of, same_command
from geovq.cli.progress import Progress
from geovq.cli.stopping import stoppable
from geovq.corpus.encoding import encode_corpus
from geovq.corpus.sources import open_images
from geovq.storage import stored_digest


def run(options: argparse.Namespace) -> None:
    """Encodes what is not there yet, and says what to run next."""
    shards = open_images(options.images, labels=options.labels)
    tokenizer, began = load(options), time.monotonic()
    total = sum(len(shard) for shard in shards)
    with stoppable() as stop, Progress("encode", total, "images") as progress:
        found = encode_corpus(
            tokenizer,
            stored_digest(options.tokenizer),
            shards,
            options.out,
            pad=not options.no_pad,
            plan=plan_of(options),
            progress=lambda images, unreadable: progress(images + unreadable),
            stop=stop,
        )
    seconds = time.monotonic() - began
    rate = f"{found.images / seconds:.3g} images a second" if found.images else "nothing to do"
    print(f"encode: {found.images:,} images in {seconds:.0f} s, {rate}; {found.unreadable:,} could not be read -> {options.out}")
    if not found.complete:
        print(f"stopped; this goes on: {same_command()}")
        raise SystemExit(130)
    print(f"next: geovq decode {options.tokenizer} {options.out} --out images")
