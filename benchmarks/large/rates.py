"""Images a second of assigners on the default device, and its agreement with the CPU: a part of benchmarks.accelerator."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.common.published import load_vae
from benchmarks.common.rows import Row, ratio_row, row, spread_row
from benchmarks.large.inputs import Setting, timed
from benchmarks.large.schedules import SCHEDULES, Coding, Schedule
from geovq.assignment.joint import Joint
from geovq.batching.plan import Plan
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.metric.neighbours import neighbour_metrics
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

TOLERANCE = 1e-3
"""Relative difference that counts as agreement, with matrix products in full precision."""


class Size(NamedTuple):
    """What is measured."""

    schedule: Schedule
    """Its first coding is."""
    sides: tuple[int, ...]
    """Pixels of the sides of photographs' centres."""
    photographs: int
    rounds: int
    compared: tuple[int, int]
    """Photographs, and pixels of their centres' sides, that both devices encode."""


FULL = Size(SCHEDULES["reduced"], (256, 512), 24, 3, (8, 64))
TINY = Size(SCHEDULES["smoke"], (48,), 2, 1, (2, 32))


def rates(setting: Setting, size: Size) -> Iterator[Row]:
    """Rows of agreement, and of every side: the encoder alone, and each assigner with it.

    Args:
        setting: Folders; codes are fitted there.
        size: How much is measured.
    """
    coding = size.schedule.codings[0]
    base = setting.tokenizer(coding, None, 0)
    yield from _agreement(setting, coding, base, size.compared)
    amortised = setting.amortised(coding, 0)
    assert amortised is not None  # the first coding of a schedule has it
    tokenizers = {"whitened": base, "amortised": amortised[0], "joint": base.replace(assigner=Joint())}
    encode = setting.vae(coding.autoencoder)[0]
    for side in size.sides:
        images = check_images(setting.scored_crops(side, size.photographs))
        calls: dict[str, Callable] = {"encoder": functools.partial(encode_images, encode, images)}
        calls |= {name: functools.partial(each.encode, images) for name, each in tokenizers.items()}
        fields: Row = {"case": "rates", "autoencoder": coding.autoencoder, "side": side}
        for name, call in calls.items():  # compiles
            call()
            if stats := jax.devices()[0].memory_stats():
                yield row(fields | {"way": name}, "device_peak_bytes", stats["peak_bytes_in_use"], len(images))
        yield from _rounds(fields, calls, len(images), size.rounds)


def _rounds(fields: Row, calls: Mapping[str, Callable], images: int, rounds: int) -> Iterator[Row]:
    """Times of all ways, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call)[1].wall)
    for name, values in seconds.items():
        ours = fields | {"way": name}
        yield spread_row(ours, "images_per_second", [images / value for value in values])
        if name != "encoder":
            yield ratio_row(ours | {"peer": "encoder"}, seconds["encoder"], values, "share_of_rate")


def _agreement(setting: Setting, coding: Coding, tokenizer: Tokenizer, compared: tuple[int, int]) -> Iterator[Row]:
    images = check_images(setting.scored_crops(compared[1], compared[0]))
    with jax.default_matmul_precision("highest"):
        here, there = (
            _on(device, setting, coding, tokenizer, images) for device in (jax.devices("cpu")[0], jax.devices()[0])
        )
    for of in here:
        value = float(np.abs(there[of] - here[of]).max() / np.abs(here[of]).max())
        fields: Row = {"case": "agreement with the CPU", "of": of, "tolerance": TOLERANCE}
        yield row(fields | {"agrees": bool(value <= TOLERANCE)}, "relative_difference", value, len(images))


def _on(
    device: Any, setting: Setting, coding: Coding, tokenizer: Tokenizer, images: np.ndarray
) -> dict[str, np.ndarray]:
    """What one device computes."""
    plan = Plan(options=())  # those of the other device may be unknown to it
    with jax.default_device(device):
        encode, decode = load_vae.__wrapped__(setting.autoencoders, coding.autoencoder)  # parameters on this device
        latents = encode_images(encode, images, plan=plan)
        here = Tokenizer(encode, decode, tokenizer.codebook, assigner=Joint(), image_shape=images.shape[1:])
        tokens = here.encode(images, plan=plan)
        errors = ((here.decode(tokens, plan=plan) - images) ** 2).sum(axis=(1, 2, 3))
        blocks = neighbour_metrics(single(decode), latents, plan=plan)
    return {"latents": latents, "JᵀJ of neighbours": blocks, "error of joint tokens": errors.sum(keepdims=True)}
