"""Rows of benchmarks.photographs: scores of every system, paired differences, rates, and bits saved."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from benchmarks.common.harness import Cell
from benchmarks.common.published import Published
from benchmarks.common.rows import Row, mean_row, row, statistic_row
from benchmarks.photographs import bounds
from benchmarks.photographs.choices import perceptual_weights
from benchmarks.photographs.codecs import QUALITIES, available, curve
from benchmarks.photographs.finetuned import finetuned_rows
from benchmarks.photographs.frechet import frechet_rows
from benchmarks.photographs.rates import PIXELS, entropy_bits, rate_saved
from benchmarks.photographs.schedules import Schedule, Study
from benchmarks.photographs.scoring import (
    SCORES,
    Scores,
    fields_of,
    images_of,
    score_bound,
    score_system,
    scores_of,
    tokens_of_val,
)
from benchmarks.photographs.speed import speed_rows
from benchmarks.photographs.systems import AUTOENCODER, EUCLIDEAN, System
from geovq.storage.bits import digest
from geovq.validation import check_images

_QUALITIES = ("psnr", "lpips")
"""At which, where they are equal, bits are compared."""

_POINTS = 3
"""Rates at least that two curves have in common."""

Curve = dict[float, tuple[Scores, float]]
"""Scores and entropy-coded bits a pixel, of every nominal number of bits a pixel."""


def measure(
    published: Published,
    schedule: Schedule,
    autoencoders: tuple[str, ...],
    finetuned: Mapping[str, pathlib.Path],
) -> Iterator[Row]:
    """All rows: codecs, continuous latents, the weight of LPIPS, every study, a classifier's view, bits saved, and seconds.

    Args:
        published: Folders.
        schedule: How much.
        autoencoders: Which of the schedule's are measured.
        finetuned: Tokenizers of TAESD with decoders that train.finetune made, by their names.
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
            steps: dict[str, float] = {"steps": schedule.steps, "learning_rate": bounds.LEARNING_RATE}
            ways: dict[str, tuple[Callable, dict[str, float]]] = {
                "continuous": (functools.partial(bounds.encoded, *vae), {}),
                "optimised": (functools.partial(bounds.optimised, *vae, steps=schedule.steps), steps),
            }
            for name, (way, options) in ways.items():
                found = score_bound(published, name, autoencoder, crops, way, **options)
                yield from _means(fields | {"way": name}, found)
                continuous.setdefault((autoencoder, crops), found)
    if AUTOENCODER in autoencoders:
        yield from perceptual_weights(published, AUTOENCODER, schedule.shown, schedule.choice, 0)
    curves: dict[tuple, Curve] = {}
    for study in schedule.studies:
        if study.autoencoder in autoencoders:
            yield from _study(published, schedule, study, continuous[study.autoencoder, study.crops], curves)
    if AUTOENCODER in autoencoders:
        yield from frechet_rows(published, schedule)
        yield from finetuned_rows(published, schedule, finetuned, continuous[AUTOENCODER, schedule.as_sets])
    yield from _saved(curves)
    yield from speed_rows(published, schedule, autoencoders)


def _study(
    published: Published, schedule: Schedule, study: Study, continuous: Scores, curves: dict[tuple, Curve]
) -> Iterator[Row]:
    """Rows of all systems of a study; adds to the curves of rate and quality."""
    for seed in study.seeds:
        peers = {"continuous": continuous, "euclidean": score_system(published, study, EUCLIDEAN, seed)[1]}
        for system in study.systems:
            fields = fields_of(study, system, seed)
            found, scores = score_system(published, study, system, seed)
            known = tokens_of_val(published, study, _fast(system), seed, schedule.frequencies)
            codes = found.tokenizer.codebook.codes  # a scalar quantizer has others than the rate's S and K
            coded = float(entropy_bits(known, scores["tokens"], codes.shape[1]).sum()) / PIXELS
            print(
                f"{study.autoencoder} {study.rate.name} {system.codes}, {system.assign}: {scores['psnr'].mean():.2f} dB",
                flush=True,
            )
            yield from _means(fields, scores)
            yield row(fields, "bits_per_pixel", study.rate.bits / PIXELS)
            yield row(fields, "entropy_bits_per_pixel", coded)
            yield row(fields, "usage", usage_of(scores["tokens"], codes))
            for peer, theirs in peers.items():
                if peer != "euclidean" or system != EUCLIDEAN:
                    for score in SCORES:
                        yield mean_row(fields | {"peer": peer}, f"{score}_difference", scores[score] - theirs[score])
            key = (study.autoencoder, study.crops, seed, system)
            curves.setdefault(key, {})[study.rate.bits / PIXELS] = (scores, coded)


def usage_of(tokens: Int[np.ndarray, "n S"], codes: Float[np.ndarray, "S K d"]) -> float:
    """The part of the different codes that occur, the mean over quantizers; a scalar one repeats its last level."""
    different = [len(np.unique(each, axis=0)) for each in codes]
    used = [len(np.unique(codes[s][tokens[:, s]], axis=0)) for s in range(len(codes))]
    return float(np.mean(np.array(used) / different))


def _fast(system: System) -> System:
    """Whose tokens of `val` tell the frequencies: those of the same codes that cost no decoder."""
    return system if system.assign == "own" else system._replace(assign="whitened")


def _means(fields: Row, scores: Scores) -> Iterator[Row]:
    """Means over images, and PSNR of the mean error, as video codecs report it."""
    for score in SCORES:
        yield mean_row(fields, score, scores[score])
    yield row(fields, "psnr_of_mean_error", -10 * float(np.log10(scores["squared_error"].mean())), len(scores["psnr"]))


def _codecs(published: Published, schedule: Schedule) -> Iterator[Row]:
    images = [image[0] for image in images_of(published, "kodak", schedule.codecs)]
    for codec in available():
        fields: Row = {"case": "codec", "codec": codec, "side": schedule.codecs.side}
        made_from = {
            "images": digest({f"{i:03}": image for i, image in enumerate(images)}),
            "qualities": list(QUALITIES[codec]),
        }
        compute = functools.partial(_codec_rows, codec, images, fields)
        yield from published.cell(f"codecs/{codec}-{schedule.codecs.side or 'whole'}", made_from, compute)[0]


def _codec_rows(codec: str, images: Sequence[np.ndarray], fields: Row) -> Cell:
    rows: list[Row] = []
    for quality, decoded, bits in curve(codec, images):
        pairs = zip(images, decoded, strict=True)
        each = [scores_of(check_images(a[None]), check_images(b[None])) for a, b in pairs]
        ours = fields | {"quality": quality}
        rows += _means(ours, {name: np.concatenate([one[name] for one in each]) for name in SCORES})
        rows.append(row(ours, "bits_per_pixel", bits))
    return rows, {}


def _saved(curves: Mapping[tuple, Curve]) -> Iterator[Row]:
    """Bits that each system saves compared with Euclidean k-means, at equal quality, over the rates that both have."""
    for (autoencoder, crops, seed, system), ours in curves.items():
        theirs = curves.get((autoencoder, crops, seed, EUCLIDEAN), {})
        both = sorted(ours.keys() & theirs.keys())
        if system == EUCLIDEAN or len(both) < _POINTS:
            continue
        ours, theirs = ({rate: points[rate] for rate in both} for points in (ours, theirs))
        fields: Row = {
            "case": "bits saved",
            "autoencoder": autoencoder,
            "codebook": system.codes,
            "assign": system.assign,
            "side": crops.side,
            "seed": seed,
            "rates": len(both),
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
