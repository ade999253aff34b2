"""What is chosen by photographs that are neither fitted to nor reported: the weight of LPIPS."""

import functools
from collections.abc import Iterator

import numpy as np

from benchmarks.common.published import Published
from benchmarks.common.rows import Row, mean_row
from benchmarks.photographs.coders import Coder, coder
from benchmarks.photographs.scoring import SCORES, Scores, collect, each_image, images_of, made_from_of, scores_of
from benchmarks.photographs.systems import Crops, Rate, System
from geovq.assignment.joint import Joint

WEIGHTS = (0.0, 0.003, 0.01, 0.03)
"""Mean squared error that one unit of LPIPS is worth."""


def perceptual_weights(published: Published, autoencoder: str, rate: Rate, crops: Crops, seed: int) -> Iterator[Row]:
    """Rows of joint tokens of BSDS `val` with every weight.

    Args:
        published: Folders.
        autoencoder: Whose latents.
        rate: Of the default codes.
        crops: Of which photographs.
        seed: Of the codes.
    """
    found = coder(published, autoencoder, rate, System("default", "whitened"), seed)
    fields: Row = {
        "case": "choice",
        "autoencoder": autoencoder,
        "codes": rate.num_codes,
        "codes_per_token": rate.num_quantizers,
    }
    for weight in WEIGHTS:
        weighed = Coder(found.tokenizer.replace(assigner=Joint(perceptual=weight)))
        folder = f"{autoencoder}-{rate.name}-{seed}/weight-{weight:g}/val-{crops.side}"
        images = images_of(published, "bsds500/val", crops)
        made_from = made_from_of(weighed, f"weight {weight:g}")
        scores = collect(each_image(published, folder, made_from, functools.partial(_scores, weighed), images))
        ours = fields | {"side": crops.side, "weight": weight, "seed": seed}
        yield from (mean_row(ours, score, scores[score]) for score in SCORES)


def _scores(weighed: Coder, image: np.ndarray) -> Scores:
    return scores_of(image, weighed.decode(weighed.encode(image)))
