"""Scores of systems as a table, with what each means."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from geovq.cli.findings.systems import OWN, System
from geovq.cli.page.content import Score, ScoreTable
from geovq.scores.intervals import Interval, bootstrap_interval
from geovq.scores.tokens import perplexity, usage
from geovq.tokenizer.tokenizer import Tokenizer

MEANINGS = {
    "PSNR": Score(
        "PSNR, dB",
        "Peak signal-to-noise ratio: 10 log10 of 1 over the mean squared error of intensities in [0, 1]. Higher is better; "
        "1 dB more is a fifth less squared error.",
        "higher",
    ),
    "SSIM": Score(
        "SSIM",
        "Structural similarity, at most 1: means, contrasts and structures in Gaussian windows of 11 pixels. Higher is better.",
        "higher",
    ),
    "LPIPS": Score(
        "LPIPS",
        "Learned perceptual distance by features of AlexNet; 0 for equal images. Lower is better. Assigners with a perceptual "
        "term make it small, so judge those by eye.",
        "lower",
    ),
    "bits": Score(
        "bits a pixel",
        "Number of tokens times log2 of the number of codes, over the number of pixels. 8-bit RGB has 24.",
    ),
    "usage": Score(
        "codes in use",
        "Part of the codes that occur in these images, 0 to 1. With few images it is small by necessity.",
    ),
    "perplexity": Score(
        "perplexity",
        "Exponential of the entropy of the codes' frequencies in these images: so many equally frequent codes would be as hard "
        "to guess. At most the number of codes.",
    ),
}
"""Names and meanings of the columns."""


def score_table(
    tokenizer: Tokenizer,
    systems: Sequence[System],
    scores: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]],
    bits: Mapping[str, float | None],
) -> ScoreTable:
    """Means over the images with intervals, and numbers of the tokens."""
    names = list(scores[OWN])
    rows = []
    for system in systems:
        values: list[Interval | float | None] = [bootstrap_interval(scores[system.key][name]) for name in names]
        values.append(bits[system.key])
        if system.tokens:
            columns = np.concatenate([each.reshape(-1, each.shape[2]) for each in system.tokens]).T
            values += [
                float(np.mean([score(c, tokenizer.num_codes) for c in columns])) for score in (usage, perplexity)
            ]
        else:
            values += [None, None]
        rows.append((system.name, values))
    n = len(systems[0].images)
    best = "; the best tokens are bold" if len(systems) > 2 else ""  # one stands for the autoencoder alone
    caption = f"Means over {n} image{'s' * (n > 1)}, with 95% bootstrap intervals over images{best}"
    meanings = [MEANINGS[name] for name in (*names, "bits", "usage", "perplexity")]
    return ScoreTable(caption, "system", meanings, rows, [systems[0].name])
