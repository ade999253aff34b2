"""Seconds of one photograph: the encoder, the choice of tokens, and the decoder; all systems in turn, in every round."""

import functools
import os
import platform
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np

from benchmarks.common.harness import Cell, in_turn
from benchmarks.common.published import Published
from benchmarks.common.rows import Row, spread_row
from benchmarks.photographs.coders import Coder, coder
from benchmarks.photographs.schedules import Schedule, Timing
from benchmarks.photographs.scoring import images_of, made_from_of
from benchmarks.photographs.systems import System
from geovq.decoder.autoencoder import encode_images
from geovq.storage.bits import digest
from geovq.validation import check_images

PARTS = ("encoder", "choice", "decoder")
"""Of which the time of an image consists."""


def speed_rows(published: Published, schedule: Schedule, autoencoders: tuple[str, ...]) -> Iterator[Row]:
    """Rows of all parts of all systems; nothing is timed again that the run folder has.

    Args:
        published: Folders.
        schedule: What is timed.
        autoencoders: Of these.
    """
    for timing in schedule.timed:
        if timing.autoencoder in autoencoders:
            image = check_images(images_of(published, "kodak", timing.crops)[0])
            coders = {system: coder(published, timing.autoencoder, timing.rate, system, 0) for system in timing.systems}
            made_from = {
                "coders": [made_from_of(found, system.assign) for system, found in coders.items()],
                "weights": published.fingerprint(timing.autoencoder),
                "image": digest({"image": image}),
                "rounds": timing.rounds,
                "machine": [platform.node(), os.cpu_count(), jax.devices()[0].device_kind],
            }
            compute = functools.partial(_timed, timing, coders, image)
            yield from published.cell(f"speed/{timing.autoencoder}-{timing.rate.name}", made_from, compute)[0]


def _timed(timing: Timing, coders: Mapping[System, Coder], image: np.ndarray) -> Cell:
    rows: list[Row] = []
    ways: dict[tuple[System, str], Callable[[], object]] = {}
    for system, found in coders.items():
        latents = encode_images(found.tokenizer.encoder, image)
        tokens = found.assign(latents, image)
        ways[system, "encoder"] = functools.partial(encode_images, found.tokenizer.encoder, image)
        ways[system, "choice"] = functools.partial(found.assign, latents, image)
        ways[system, "decoder"] = functools.partial(found.decode, tokens)
    seconds = in_turn(ways, timing.rounds)
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
        rows += (spread_row(fields | {"part": part}, "seconds", seconds[system, part]) for part in PARTS)
    return rows, {}
