"""Rates of a few images, and what they decode to: with fewer codes a token, and as WebP files."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import Float

from geovq.assignment.base import Assigner, Codebook
from geovq.batching.plan import Plan
from geovq.cli.findings.systems import bits_per_pixel, with_tokens
from geovq.tokenizer.tokenizer import Tokenizer

WEBP = "WebP files"
"""Name of their curve."""

_QUALITIES = (0, 5, 20, 50, 80, 90)
_FARTHEST = 3
"""Times the largest rate of tokens up to which WebP files are shown."""


class Point(NamedTuple):
    """One rate."""

    bits: float
    """A pixel."""
    images: list[Float[np.ndarray, "H W C"]]
    """What they decode to, in [0, 1]."""


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
) -> list[Point]:
    """With 1 to S - 1 codes a token.

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
        found.append(Point(bits, system.images))
    return found


def points_of_webp(images: Sequence[np.ndarray], most: float) -> list[Point]:
    """WebP files, headers included, by rising bits.

    Args:
        images: (H, W, C) bytes.
        most: Bits a pixel of tokens at most.
    """
    pixels = sum(image[..., 0].size for image in images)
    found = []
    for quality in _QUALITIES:
        sizes, decoded = zip(*(_through_webp(image, quality) for image in images), strict=True)
        found.append(Point(8 * sum(sizes) / pixels, list(decoded)))
    return [point for point in found if point.bits <= _FARTHEST * most]


def _through_webp(image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Bytes of the file, and what it decodes to; an image without three colours is grey."""
    file = io.BytesIO()
    colours = image if image.shape[2] == 3 else image.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    PIL.Image.fromarray(colours).save(file, "WEBP", quality=quality, method=6)
    decoded = np.asarray(PIL.Image.open(file).convert("RGB"), np.float32) / 255
    same = decoded if image.shape[2] == 3 else decoded.mean(axis=2, keepdims=True)
    return file.tell(), np.broadcast_to(same, image.shape)
