"""Seconds of one photograph: the encoder, the choice of tokens, and the decoder; one system after the other in every round."""

import functools
import os
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.common.harness import Cell
from benchmarks.common.published import Published
from benchmarks.common.rows import Row, spread_row
from benchmarks.photographs.coders import Coder, coder
from benchmarks.photographs.schedules import Schedule, Timing
from benchmarks.photographs.scoring import images_of
from geovq.decoder.autoencoder import encode_images
from geovq.validation import check_images


def speed_rows(published: Published, schedule: Schedule, autoencoders: tuple[str, ...]) -> Iterator[Row]:
    """Rows of all parts of all systems; nothing is timed again that the run folder has.

    Args:
        published: Folders.
        schedule: What is timed.
        autoencoders: Of these.
    """
    for timing in schedule.timed:
        if timing.autoencoder in autoencoders:
            made_from = {"timing": [timing.rate.name, timing.crops.side, timing.rounds, *map(list, timing.systems)]}
            compute = functools.partial(_timed, published, timing)
            yield from published.cell(f"speed/{timing.autoencoder}-{timing.rate.name}", made_from, compute)[0]


def _timed(published: Published, timing: Timing) -> Cell:
    image = check_images(images_of(published, "kodak", timing.crops)[0])
    coders = {system: coder(published, timing.autoencoder, timing.rate, system, 0) for system in timing.systems}
    for each in coders.values():
        _seconds(each, image)  # compiles
    rounds = [{system: _seconds(each, image) for system, each in coders.items()} for _ in range(timing.rounds)]
    rows: list[Row] = []
    for system in timing.systems:
        fields: Row = {
            "case": "speed",
            "autoencoder": timing.autoencoder,
            "codes": timing.rate.num_codes,
            "codes_per_token": timing.rate.num_quantizers,
            "side": timing.crops.side,
            "codebook": system.codes,
            "assign": system.assign,
            "load": round(os.getloadavg()[0], 1),
        }
        for part in rounds[0][system]:
            rows.append(spread_row(fields | {"part": part}, "seconds", [found[system][part] for found in rounds]))
    return rows, {}


def _seconds(found: Coder, image: np.ndarray) -> dict[str, float]:
    """Of every part for one image (1, H, W, 3)."""
    latents, encoder = _clocked(lambda: encode_images(found.tokenizer.encoder, image))
    tokens, choice = _clocked(lambda: found.assign(latents, image))
    _, decoder = _clocked(lambda: found.decode(tokens))
    return {"encoder": encoder, "choice": choice, "decoder": decoder}


def _clocked(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
