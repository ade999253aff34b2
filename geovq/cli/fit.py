"""geovq fit: codes for an autoencoder, from crops of photographs."""

import argparse
import time

from geovq.cli.loading import make_assigner, name_source
from geovq.corpus.crops import draw_crops
from geovq.models.autoencoders import load_autoencoder
from geovq.tokenizer.tokenizer import Tokenizer


def run(options: argparse.Namespace) -> None:
    """Fits, and says what to run next."""
    began = time.monotonic()
    assigner = make_assigner(options.assigner, options.perceptual)
    vae = load_autoencoder(options.autoencoder)
    crops = draw_crops(options.images, options.crop, options.crops, options.seed)
    print(f"fit: {len(crops)} crops of {options.crop}x{options.crop} pixels", flush=True)
    tokenizer = Tokenizer.fit(
        vae.encode,
        vae.decode,
        crops,
        num_codes=options.num_codes,
        num_quantizers=options.quantizers,
        codebook=options.codebook,
        composition=options.composition,
        assigner=assigner,
        seed=options.seed,
    )
    tokenizer.save(options.out, autoencoder=name_source(options.autoencoder, tokenizer))
    print(f"{tokenizer!r}\n{options.out}, in {time.monotonic() - began:.0f} s")
    print(f"next: geovq encode {options.out} {options.images} --out tokens")
