"""Rows of benchmarks.photographs: scores of every system, paired differences, rates, and bits saved."""

import functools
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.common.published import Published
from benchmarks.common.rows import Row, mean_row, row, statistic_row
from benchmarks.photographs import bounds
from benchmarks.photographs.choices import perceptual_weights
from benchmarks.photographs.codecs import available, curve
from benchmarks.photographs.rates import PIXELS, entropy_bits, rate_saved
from benchmarks.photographs.schedules import Schedule, Study, System
from benchmarks.photographs.scoring import (
    SCORES,
    Scores,
    images_of,
    score_bound,
    score_system,
    scores_of,
    tokens_of_val,
)
from geovq.scores.tokens import usage
from geovq.validation import check_images

EUCLIDEAN = System("kmeans", "own")
"""What is compared with: k-means, or residual k-means, and the nearest codes."""

_QUALITIES = ("psnr", "lpips")
"""At which, where they are equal, bits are compared."""

Curve = dict[float, tuple[Scores, float]]
"""Scores and entropy-coded bits a pixel, of every nominal number of bits a pixel."""


def measure(published: Published, schedule: Schedule, autoencoders: tuple[str, ...]) -> Iterator[Row]:
    """All rows, from the fastest on.

    Args:
        published: Folders.
        schedule: How much.
        autoencoders: Which of the schedule's are measured.
    """
    yield from _codecs(published, schedule)
    continuous: dict[tuple, Scores] = {}
    for autoencoder, crops in schedule.bounds:
        if autoencoder in autoencoders:
            vae = published.vae(autoencoder)
            fields: Row = {
                "case": "bound",
                "autoencoder": autoencoder,
                "side": crops.side,
                "photographs": crops.photographs,
            }
            ways = {
                "continuous": functools.partial(bounds.encoded, *vae),
                "optimised": functools.partial(bounds.optimised, *vae, steps=schedule.steps),
            }
            for name, way in ways.items():
                found = score_bound(published, name, autoencoder, crops, way)
                yield from _means(fields | {"way": name}, found)
                continuous.setdefault((autoencoder, crops), found)
    if "taesd" in autoencoders:
        yield from perceptual_weights(published, "taesd", schedule.shown, schedule.choice, 0)
    curves: dict[tuple, Curve] = {}
    for study in schedule.studies:
        if study.autoencoder in autoencoders:
            yield from _study(published, schedule, study, continuous[study.autoencoder, study.crops], curves)
    yield from _saved(curves)


def _study(
    published: Published, schedule: Schedule, study: Study, continuous: Scores, curves: dict[tuple, Curve]
) -> Iterator[Row]:
    """Rows of all systems of a study; adds to the curves of rate and quality."""
    for seed in study.seeds:
        peers = {"continuous": continuous, "euclidean": score_system(published, study, EUCLIDEAN, seed)}
        for system in study.systems:
            fields = _fields(study, system, seed)
            scores = score_system(published, study, system, seed)
            known = tokens_of_val(published, study, _fast(system), seed, schedule.frequencies)
            num_codes = study.rate.num_codes
            coded = float(entropy_bits(known, scores["tokens"], num_codes).sum()) / PIXELS
            print(
                f"{study.autoencoder} {study.rate.name} {system.codes}, {system.assign}: {scores['psnr'].mean():.2f} dB",
                flush=True,
            )
            yield from _means(fields, scores)
            yield row(fields, "bits_per_pixel", study.rate.bits / PIXELS)
            yield row(fields, "entropy_bits_per_pixel", coded)
            used = [usage(scores["tokens"][:, s, None], num_codes) for s in range(study.rate.num_quantizers)]
            yield row(fields, "usage", float(np.mean(used)))
            for peer, theirs in peers.items():
                if peer != "euclidean" or system != EUCLIDEAN:
                    for score in SCORES:
                        yield mean_row(fields | {"peer": peer}, f"{score}_difference", scores[score] - theirs[score])
            key = (study.autoencoder, study.crops, seed, system)
            curves.setdefault(key, {})[study.rate.bits / PIXELS] = (scores, coded)


def _fast(system: System) -> System:
    """Whose tokens of `val` tell the frequencies: those of the same codes that cost no decoder."""
    return system if system.assign == "own" else system._replace(assign="whitened")


def _fields(study: Study, system: System, seed: int) -> Row:
    return {
        "case": "photographs",
        "autoencoder": study.autoencoder,
        "codes": study.rate.num_codes,
        "codes_per_token": study.rate.num_quantizers,
        "codebook": system.codes,
        "assign": system.assign,
        "side": study.crops.side,
        "seed": seed,
    }


def _means(fields: Row, scores: Scores) -> Iterator[Row]:
    """Means over images, and PSNR of the mean error, as video codecs report it."""
    for score in SCORES:
        yield mean_row(fields, score, scores[score])
    yield row(fields, "psnr_of_mean_error", -10 * float(np.log10(scores["squared_error"].mean())), len(scores["psnr"]))


def _codecs(published: Published, schedule: Schedule) -> Iterator[Row]:
    images = [image[0] for image in images_of(published, "kodak", schedule.codecs)]
    for codec in available():
        for quality, decoded, bits in curve(codec, images):
            fields: Row = {"case": "codec", "codec": codec, "quality": quality, "side": schedule.codecs.side}
            each = [
                scores_of(check_images(a[None]), check_images(b[None])) for a, b in zip(images, decoded, strict=True)
            ]
            yield from _means(fields, {name: np.concatenate([one[name] for one in each]) for name in SCORES})
            yield row(fields, "bits_per_pixel", bits)


def _saved(curves: Mapping[tuple, Curve]) -> Iterator[Row]:
    """Bits that each system saves compared with Euclidean k-means, at equal quality, over all rates."""
    for (autoencoder, crops, seed, system), ours in curves.items():
        theirs = curves.get((autoencoder, crops, seed, EUCLIDEAN), {})
        if system == EUCLIDEAN or min(len(ours), len(theirs)) < 2:
            continue
        fields: Row = {
            "case": "bits saved",
            "autoencoder": autoencoder,
            "codebook": system.codes,
            "assign": system.assign,
            "side": crops.side,
            "seed": seed,
        }
        for quality in _QUALITIES:
            for kind in ("nominal", "entropy-coded"):
                saved = functools.partial(_saving, _rates(theirs, kind), _rates(ours, kind))
                columns = [_table(theirs, quality), _table(ours, quality)]
                if np.isfinite(saved(*columns)):
                    said = fields | {"at_equal": quality, "bits": kind}
                    found = statistic_row(said, "bits_saved", saved, *columns)
                    # Where some draws of the images have curves that cannot be compared, there is no interval.
                    yield found if np.isfinite(found["low"]) else found | {"low": None, "high": None}


def _saving(anchor_rates: np.ndarray, rates: np.ndarray, anchor: np.ndarray, ours: np.ndarray) -> float:
    """Of the mean qualities of images (n, points)."""
    return rate_saved((anchor_rates, anchor.mean(axis=0)), (rates, ours.mean(axis=0)))


def _rates(points: Curve, kind: str) -> np.ndarray:
    return np.array([nominal if kind == "nominal" else points[nominal][1] for nominal in sorted(points)])


def _table(points: Curve, quality: str) -> np.ndarray:
    """Qualities (n, points)."""
    return np.stack([points[nominal][0][quality] for nominal in sorted(points)], axis=1)
