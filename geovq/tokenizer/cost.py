"""What it costs to encode an image: passes through the decoder, bytes at once, and seconds."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from geovq.assignment.base import Passes
from geovq.batching.budget import divide
from geovq.batching.memory import decoder_memory, function_memory
from geovq.batching.plan import Plan, settle
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.tokenizer.parts import Parts

_REPEATS = 3
"""Times that a pass is timed; the median counts."""


class Cost(NamedTuple):
    """What it costs to encode one image."""

    forward: int
    """Forward passes through the decoder, and forward-mode products, which cost about as much."""
    reverse: int
    """Reverse-mode products, as forward passes of the same cost: two each."""
    memory: int
    """Bytes at once on a device, an estimate; parameters are counted, and images on the host are not."""
    seconds: float
    """An estimate from one timed pass of the encoder and one of the decoder on this machine. Where many passes are made at once,
    as on an accelerator, they take less."""


def tokenizer_cost(parts: Parts, image_shape: tuple[int, ...], plan: Plan) -> Cost:
    """`Tokenizer.cost` of a shape (H, W, C) that was checked before; nothing is assigned.

    Nearest codes are not counted: they run no decoder.

    Raises:
        InputError: An image that does not fit in the plan's memory.
    """
    settled, images = settle(plan), np.zeros((1, *image_shape), np.float32)
    encode, one = parts.vae.encode, single(parts.vae.decode)
    latents = encode_images(encode, images, plan=plan)
    passes = parts.assigner.passes(latents.shape[1:], parts.codebook)
    encoder = function_memory(encode, images.shape)
    memory = max(0 if encoder is None else encoder.held + encoder.each, _assigner_bytes(one, latents, passes, plan))
    seconds = _time(encode, images)
    if passes.forward + passes.reverse:
        compiled = jax.jit(lambda decoder, latent: decoder(latent), compiler_options=dict(settled.options))
        seconds += (passes.forward + passes.reverse) * _time(functools.partial(compiled, one), latents[0])
    return Cost(passes.forward, passes.reverse, memory, seconds)


def _assigner_bytes(decode: Partial, latents: np.ndarray, passes: Passes, plan: Plan) -> int:
    """Bytes at once for one image, its decoder's parameters among them."""
    shape = latents.shape[1:]
    decoder = decoder_memory(decode, shape)
    if decoder is None or not passes.at_once:
        return 0
    held = passes.jacobian_rows * decoder.image + 4 * passes.numbers
    row = (decoder.products if passes.tangents or passes.cotangents else decoder.decodes)(held)
    share = divide(settle(plan), decoder, row, shape, passes=passes.at_once)
    return decoder.parameters + row.held + row.each * min(share.passes, passes.at_once)


def _time(function: Callable, argument: np.ndarray) -> float:
    """Seconds of a call, once it is compiled."""
    jax.block_until_ready(function(argument))
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function(argument))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
