"""geovq score: how well images come back."""

import argparse
import itertools

import numpy as np

from geovq.cli.loading import load, plan_of
from geovq.cli.progress import Progress
from geovq.corpus.sources import open_images, read_shard
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.scores.intervals import bootstrap_interval
from geovq.scores.reconstruction import lpips, psnr, ssim
from geovq.tokenizer.images import as_pixels
from geovq.validation import InputError, check_images

_SCORES = {"PSNR dB": psnr, "SSIM": ssim, "LPIPS": lpips}


def run(options: argparse.Namespace) -> None:
    """Prints means over images, of tokens and of the autoencoder without them."""
    tokenizer, plan = load(options), plan_of(options)
    records = itertools.chain.from_iterable(read_shard(shard) for shard in open_images(options.images))
    found: dict[str, list[list[float]]] = {"tokens": [], "no tokens": []}
    bits = []
    readable = (record for record in records if record.image is not None)
    with Progress("score", options.at_most, "images") as progress:
        for record in itertools.islice(readable, options.at_most):
            pixels = record.image[None]
            tokens = tokenizer.encode(pixels, pad=True, plan=plan)
            size = pixels.shape[1:]
            padded = as_pixels(pixels, tokenizer.sizes, pad=True)
            latents = encode_images(tokenizer.encoder, padded, plan=plan)
            whole = decode_latents(tokenizer.decoder, latents, plan=plan)[:, : size[0], : size[1]]
            for name, decoded in (("tokens", tokenizer.decode(tokens, image_shape=size, plan=plan)), ("no tokens", whole)):
                found[name].append([float(score(check_images(pixels), decoded)[0]) for score in _SCORES.values()])
            bits.append(tokens.size * np.log2(tokenizer.num_codes) / (size[0] * size[1]))
            progress(1)
    if not bits:
        raise InputError(f"{options.images}: expected images that can be read, found none; check the folder.")
    print(f"{len(bits)} images, {np.mean(bits):.3g} bits a pixel, assigner {tokenizer.assigner!r}")
    for name, values in found.items():
        cells = []
        for score, column in zip(_SCORES, np.array(values).T, strict=True):
            mean, low, high = bootstrap_interval(column)
            cells.append(f"{score} {mean:.4g} ({low:.4g} to {high:.4g})")
        print(f"{name:>10}: {', '.join(cells)}")
