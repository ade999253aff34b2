"""Rate against distortion on a few images: with fewer codes a token, and of WebP files."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image

from geovq.assignment.base import Assigner, Codebook
from geovq.batching.plan import Plan
from geovq.cli.findings.systems import bits_per_pixel, with_tokens
from geovq.scores.reconstruction import psnr
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

_QUALITIES = (0, 1, 2, 5, 10, 20, 35, 50, 65, 80, 90)
_FARTHEST = 3
"""Times the largest rate of tokens up to which WebP files are shown."""


def fewer_codes(codebook: Codebook, count: int) -> Codebook:
    """The codes of the first quantizers; instead of the others each token has the mean of theirs."""
    codes = codebook.codes[:count].copy()
    codes[-1] += codebook.codes[count:].mean(axis=1).sum(axis=0)
    return codebook._replace(codes=codes)


def points_of_fewer_codes(
    tokenizer: Tokenizer,
    assigner: Assigner,
    images: Sequence[np.ndarray],
    plan: Plan,
    progress: Callable[[int], None],
) -> list[tuple[float, float]]:
    """Bits a pixel and PSNR with 1 to S - 1 codes a token.

    Args:
        tokenizer: With S codes a token.
        assigner: How they are chosen. One that runs the decoder has no such points, as each would take as long as all codes.
        images: As for `reconstruct`.
        plan: How much at once.
        progress: Called with the images done, each once for each number of codes.
    """
    passes = assigner.passes((*tokenizer.grid, tokenizer.codebook.codes.shape[-1]), tokenizer.codebook)
    if passes.forward + passes.reverse:
        return []
    found = []
    for count in range(1, tokenizer.num_quantizers):
        fewer = Tokenizer(
            tokenizer.encoder,
            tokenizer.decoder,
            fewer_codes(tokenizer.codebook, count),
            assigner=assigner,
            image_shape=tokenizer.image_shape,
        )
        system = with_tokens(fewer, "", "", images, plan, progress)
        bits = bits_per_pixel(fewer, system)
        assert bits is not None  # there are tokens
        found.append((bits, mean_psnr(images, system.images)))
    return found


def points_of_webp(images: Sequence[np.ndarray], most: float) -> list[tuple[float, float]]:
    """Bits a pixel of WebP files, headers included, and PSNR, by rising bits.

    Args:
        images: (H, W, C) bytes.
        most: Bits a pixel of tokens at most.
    """
    pixels = sum(image[..., 0].size for image in images)
    found = []
    for quality in _QUALITIES:
        sizes, decoded = zip(*(_through_webp(image, quality) for image in images), strict=True)
        found.append((8 * sum(sizes) / pixels, mean_psnr(images, decoded)))
    return sorted(point for point in found if point[0] <= _FARTHEST * most)


def mean_psnr(images: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Mean over images, dB."""
    originals = [check_images(image[None])[0] for image in images]
    return float(psnr(originals, [check_images(image[None])[0] for image in others]).mean())


def _through_webp(image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Bytes of the file, and what it decodes to; a grey image as three equal colours."""
    file = io.BytesIO()
    colours = image if image.shape[2] == 3 else image.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    PIL.Image.fromarray(colours).save(file, "WEBP", quality=quality, method=6)
    decoded = np.asarray(PIL.Image.open(file).convert("RGB"))
    same = decoded if image.shape[2] == 3 else decoded.mean(axis=2, keepdims=True).round().astype(np.uint8)
    return file.tell(), np.broadcast_to(same, image.shape)
