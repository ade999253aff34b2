"""What a page says first: one sentence, and the four numbers that matter."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from geovq.cli.findings.systems import AUTOENCODER, OWN, Shown, System
from geovq.cli.page.content import Number
from geovq.scores.intervals import bootstrap_interval
from geovq.scores.tokens import usage
from geovq.tokenizer.tokenizer import Tokenizer

Scores = Mapping[str, Mapping[str, Float[np.ndarray, " n"]]]
"""By system and score, one for each image."""

_BYTE_BITS = 8

_FEW = 10
"""Images below which the page warns."""

WORDS = (
    ("token", "What stands for a small square of the image: one code, or the sum of several."),
    ("code", "One vector of the codebook; a file keeps its number."),
    ("its own", "The way to choose tokens that the tokenizer was fitted or asked with; others are shown beside it."),
    ("autoencoder, no tokens", "What the decoder makes of the encoder's latents as they are."),
    ("PSNR, dB", "Closeness of pixels: 1 dB more is a fifth less squared error."),
    (
        "intensity",
        "Brightness of a pixel from 0, black, to 1, white; changes of images are Euclidean lengths over all of them.",
    ),
    ("pullback metric", "Measures a step between latents by how much the decoded image changes."),
    ("magnification", "How much the image changes for a step of one latent unit."),
)
"""What a reader has to know, in the order in which it is met."""


def sentence(tokenizer: Tokenizer, shown: Sequence[Shown], scores: Scores, bits: float) -> str:
    """What the tokens are, how well images come back, and what tokens change."""
    height, width = shown[0].image.shape[:2]
    h, w = tokenizer.sizes.grid_of((height, width))
    count, code_bits = tokenizer.num_quantizers, np.log2(tokenizer.num_codes)
    of = f"{code_bits:.3g} bits" if count == 1 else f"{count} codes of {code_bits:.3g} bits"
    quality, alone = scores[OWN]["PSNR"], scores[AUTOENCODER]["PSNR"]
    change = bootstrap_interval(quality - alone)
    few = "; so few images say little about others" if len(shown) < _FEW else ""
    interval = f"95% interval {change.low:+.2f} to {change.high:+.2f}, over " if len(shown) > 1 else ""
    return (
        f"An image of {height}x{width} pixels becomes {h}x{w} tokens of {of}, {bits:.3g} bits a pixel, and comes back "
        f"with {quality.mean():.2f} dB; the autoencoder without tokens reaches {alone.mean():.2f} dB. So tokens change PSNR by "
        f"{change.mean:+.2f} dB ({interval}{_images(len(shown))}{few})."
    )


def numbers(tokenizer: Tokenizer, own: System, shown: Sequence[Shown], scores: Scores, bits: float) -> list[Number]:
    """Quality twice, rate, and use of the codes, each with what it is compared with."""
    second = next(name for name in ("LPIPS", "SSIM", "PSNR") if name in scores[OWN])
    columns = np.concatenate([each.reshape(-1, each.shape[2]) for each in own.tokens]).T
    used = float(np.mean([usage(column, tokenizer.num_codes) for column in columns]))
    raw = _BYTE_BITS * shown[0].image.shape[2]
    return [
        _quality("PSNR", " dB", ".2f", scores),
        _quality(second, "", ".3g", scores),
        Number(f"{bits:.3g}", "bits a pixel", f"{raw / bits:.0f} times fewer than bytes"),
        Number(f"{100 * used:.0f} %", "codes in use", f"of {tokenizer.num_codes:,}, in {_images(len(shown))}"),
    ]


def _quality(name: str, unit: str, form: str, scores: Scores) -> Number:
    found, alone = bootstrap_interval(scores[OWN][name]), scores[AUTOENCODER][name].mean()
    interval = f"95% interval {found.low:{form}} to {found.high:{form}}"
    return Number(f"{found.mean:{form}}{unit}", name, f"{interval}; autoencoder {alone:{form}}{unit}")


def _images(count: int) -> str:
    return f"{count} image{'s' * (count > 1)}"
