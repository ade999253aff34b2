"""What a tokenizer takes where nothing is asked for: everything exact where it is small, and a bounded cost where it is large.

Few probes on many images are the best mean metrics: with TAESD and crops of 128x128 of photographs, one image's mean metric
differs from that of all by 93% (Frobenius norm, standard deviation), and one probe's from its image's by 23%. The scale of a mean
metric changes neither a code nor a token of `Whitened`. Once it is set right, some squared length is wrong by this part:

| images | 1 probe | 2 probes | 12 probes |
|---|---|---|---|
| 16 | 0.09 | 0.08 | 0.05 |
| 64 | 0.05 | 0.04 | 0.03 |
| 200 | 0.03 | 0.02 | 0.02 |
"""

import math
from typing import Literal, NamedTuple

from geovq.assignment.base import Assigner
from geovq.assignment.joint import Joint
from geovq.metric.batched import MOST_PROBES
from geovq.validation import check_whole

Probes = int | Literal["auto"] | None

EXACT_SIZE = 1024
"""Numbers t·d of a grid at most whose whole Jacobian is computed where nothing else is asked for."""

EXACT_JACOBIAN = 1 << 20
"""Numbers t·d·H·W·C of that Jacobian at most for `Tokenizer.fit`, which measures many images."""

EXACT_JACOBIAN_OF_FEW = 1 << 22
"""The same for `Tokenizer.from_codes`, which measures fewer."""

METRIC_PROBES = 16
"""Probes of an image for the metrics of its tokens, and for mean metrics at most."""

MEAN_PROBES = 1
"""Probes of an image for mean metrics at least."""

JOINT_PROBES = 256
"""Probes of an image for `Joint` on larger grids; as many directions win about as much (`benchmarks.vq_models`)."""

MAX_IMAGES = 1000
"""Images at most that are measured where nothing else is asked for."""

_MIN_IMAGES = 16
"""Images at least that are measured, where there are so many: tokens of one image are alike."""

_MEAN_PIXELS = 1 << 21
"""Pixels of the images at most whose mean metrics are sketched: 32 images of 256x256."""

MAX_TOKENS = 1 << 16
"""Tokens at most whose own metrics are kept, and joined to a graph."""

_SKETCHED_TOKENS = 1 << 15
"""Tokens of the images whose metrics are sketched where no number of images is asked for."""

_ENCODED_TOKENS = 1 << 19
"""Tokens of the images at most that are encoded where grids are large: k-means sees 100,000 of them."""


class Counts(NamedTuple):
    """How many images are encoded and measured, and by how many probes."""

    encoded: int | None
    """Images at most that are encoded; None for all."""
    own: int
    """Images at most whose tokens' own metrics are computed."""
    own_probes: int | None
    """Probes of these metrics; None for exact ones, of which the mean metrics are means."""
    mean: int
    """Images at most of which mean metrics are sketched."""
    mean_probes: int
    """Probes of each of them."""


def default_assigner(latent_shape: tuple[int, ...]) -> Assigner:
    """`Joint`, on a band where grids are large; with 256 probes where that would take more than 1,024 products."""
    joint = Joint()
    return joint if joint.products(latent_shape) <= EXACT_SIZE else Joint(probes=JOINT_PROBES)


def has_large_grids(latent_shape: tuple[int, ...], image_shape: tuple[int, ...]) -> bool:
    """Whether grids (h, w, d) of images (H, W, C) are so large that nothing exact is measured by default."""
    return choose_probes("auto", latent_shape, image_shape) is not None


def choose_probes(
    probes: Probes, latent_shape: tuple[int, ...], image_shape: tuple[int, ...], largest: int = EXACT_JACOBIAN
) -> int | None:
    """Probes of an image for the metrics of its tokens.

    Args:
        probes: A number; None for exact metrics; "auto" for exact ones of small grids, else `METRIC_PROBES`.
        latent_shape: (h, w, d); small up to `EXACT_SIZE` numbers.
        image_shape: (H, W, C).
        largest: Numbers at most of a small grid's Jacobian.

    Raises:
        InputError: Probes that are no whole number.
    """
    if probes == "auto":
        size = math.prod(latent_shape)
        return None if size <= EXACT_SIZE and size * math.prod(image_shape) <= largest else METRIC_PROBES
    check_probes(probes)
    return probes


def check_probes(probes: Probes) -> None:
    """Refuses probes that are neither a whole number, "auto" nor None.

    Raises:
        InputError: With what was found.
    """
    if probes is not None and not (isinstance(probes, str) and probes == "auto"):
        check_whole("probes", probes, most=MOST_PROBES, remedy='take None for exact metrics, or "auto"')


def choose_counts(
    probes: Probes, max_images: int | None, latent_shape: tuple[int, ...], image_shape: tuple[int, ...]
) -> Counts:
    """What `geovq.measure` does with images of one size.

    Args:
        probes: As asked for.
        max_images: Images at most that are measured; None for as many as keep the cost within bounds.
        latent_shape: (h, w, d).
        image_shape: (H, W, C).

    Returns:
        Small grids are all encoded, and metrics of at most 1,000 of them are exact. Of larger ones enough images are encoded
        for 2¹⁹ tokens, enough are measured for 2¹⁵ own metrics, and the means are of 2²¹ pixels: 16 images at least.

    Raises:
        InputError: Numbers that are not whole.
    """
    if max_images is not None:
        check_whole("max_images", max_images)
    small = not has_large_grids(latent_shape, image_shape)
    own_probes = choose_probes(probes, latent_shape, image_shape)
    tokens = math.prod(latent_shape[:2])
    own = max_images or (MAX_IMAGES if small else _bounded(_SKETCHED_TOKENS // tokens))
    mean, mean_probes = choose_mean_counts(image_shape, max_images)
    if isinstance(probes, int):
        mean_probes = probes
    encoded = None if small else max(own, mean, _ENCODED_TOKENS // tokens)
    return Counts(encoded, own, own_probes, mean, mean_probes)


def choose_few(
    probes: Probes, max_images: int, latent_shape: tuple[int, ...], image_shape: tuple[int, ...]
) -> tuple[int, int | None]:
    """Images and probes of each for the mean metrics of given codes.

    Args:
        probes: As asked for.
        max_images: Images at most.
        latent_shape: (h, w, d).
        image_shape: (H, W, C).

    Returns:
        With "auto", exact metrics of all of them where a Jacobian is small, else as `choose_mean_counts`. None are exact ones.
    """
    number = choose_probes(probes, latent_shape, image_shape, EXACT_JACOBIAN_OF_FEW)
    if probes != "auto" or number is None:
        return max_images, number
    return choose_mean_counts(image_shape, min(max_images, choose_mean_counts(image_shape, None)[0]))


def choose_mean_counts(image_shape: tuple[int, ...], max_images: int | None) -> tuple[int, int]:
    """Images and probes of each for sketched mean metrics: the fewer images, the more probes, 1 to 16.

    Args:
        image_shape: (H, W, C).
        max_images: Images that are asked for; None for as many as have 2²¹ pixels, 16 to 1,000.
    """
    pixels = math.prod(image_shape[:2])
    images = max_images or _bounded(_MEAN_PIXELS // pixels)
    probes = MEAN_PROBES * _MEAN_PIXELS // (images * pixels)
    return images, max(MEAN_PROBES, min(METRIC_PROBES, probes))


def _bounded(images: int) -> int:
    return max(_MIN_IMAGES, min(MAX_IMAGES, images))
