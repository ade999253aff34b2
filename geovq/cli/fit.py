"""geovq fit: codes for an autoencoder, from crops of a corpus."""

import argparse
import sys
import time

from geovq.cli.loading import make_assigner, name_source, plan_of
from geovq.cli.progress import Progress, as_time
from geovq.corpus.crops import MOST_CROPS
from geovq.corpus.samples import sample_crops
from geovq.corpus.sources import open_images
from geovq.models.autoencoders import load_autoencoder
from geovq.storage.files import check_writable
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_whole

_LISTED = 5
"""Images that cannot be read which are named."""


def run(options: argparse.Namespace) -> None:
    """Fits, and says what to run next."""
    began, plan = time.monotonic(), plan_of(options)
    check_whole("crops", options.crops, 1, MOST_CROPS)
    check_writable(options.out)
    assigner = make_assigner(options.assigner, options.perceptual)
    shards = open_images(options.images)
    vae = load_autoencoder(options.autoencoder)
    with Progress("draw crops", options.crops, "crops") as progress:
        sample = sample_crops(shards, options.crop, options.crops, options.seed, progress=progress)
    for message in sample.unreadable[:_LISTED]:
        print(f"left out: {message}", file=sys.stderr)
    left_out = f"; {sample.small:,} smaller images and {len(sample.unreadable):,} that cannot be read were left out"
    said = left_out if sample.small or sample.unreadable else ""
    print(
        f"{len(sample.crops):,} crops of {options.crop}x{options.crop} pixels from {sample.images:,} images{said}",
        flush=True,
    )
    with Progress("fit", None, "images") as progress:
        tokenizer = Tokenizer.fit(
            vae.encode,
            vae.decode,
            sample.crops,
            num_codes=options.num_codes,
            num_quantizers=options.num_quantizers,
            codebook=options.codebook,
            composition=options.composition,
            assigner=assigner,
            seed=options.seed,
            plan=plan,
            progress=progress,
        )
    tokenizer.save(options.out, autoencoder=name_source(options.autoencoder, vae), plan=plan)
    print(f"{tokenizer!r}\nwrote {options.out} in {as_time(time.monotonic() - began)}")
    print(f"next: geovq encode {options.out} {options.images} --out tokens")
