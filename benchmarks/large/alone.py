"""One case of `scaling` in a process of its own, so that the peak of its memory is its own. Prints one JSON object.

python -m benchmarks.large.alone --way joint --autoencoders DIR --autoencoder taesd --tokenizer FILE --image FILE
"""

import argparse
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Literal, get_args

from train.run.command_line import run_program

Way = Literal["measure", "whitened", "amortised", "joint"]
WAYS: tuple[Way, ...] = get_args(Way)

_LONG, _REPEATS = 2.0, 5
"""Seconds of a call that is timed once; shorter ones so many times."""


def main() -> None:
    """Encodes or measures one image: once to compile, then with a stopwatch."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.large.alone", description=__doc__, formatter_class=raw)
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--autoencoder", required=True)
    for flag in ("autoencoders", "tokenizer", "image"):
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True)
    options = parser.parse_args()

    from benchmarks.common.harness import memory_in_use, peak_bytes_of
    from benchmarks.common.published import load_vae
    from benchmarks.large.inputs import load, timed

    warm, call = ways(
        options.way, load_vae(options.autoencoders, options.autoencoder), options.tokenizer, options.image
    )
    before = memory_in_use()
    _, compiled = peak_bytes_of(warm, before)
    (_, first), peak = peak_bytes_of(lambda: timed(call), before)
    seconds = [first]
    while first.wall < _LONG and len(seconds) < _REPEATS:
        seconds.append(timed(call)[1])
    whole = None if compiled is None or peak is None else before + max(compiled, peak)
    found = {"bytes_beyond": peak, "bytes": whole}
    print(json.dumps({"seconds": seconds, **found, "load": load()}), flush=True)


def ways(way: Way, vae: tuple, tokenizer: pathlib.Path, image: pathlib.Path) -> tuple[Callable, Callable]:
    """A call that compiles, and the call that is timed."""
    from geovq.assignment.joint import Joint
    from geovq.assignment.whitened import Whitened
    from geovq.storage.arrays import load_arrays
    from geovq.tokenizer.fitting import measure
    from geovq.tokenizer.tokenizer import Tokenizer

    images = load_arrays(image)[0]["image"]
    if way == "measure":
        once = functools.partial(measure, vae[0], vae[1], images, statistics="means", max_images=1, probes=16)
        return once, once
    found = Tokenizer.load(tokenizer, *vae)
    if way == "joint":  # one linearisation compiles all that two need
        short, whole = (found.replace(assigner=Joint(radius=2, jacobians=count)) for count in (1, 2))
        return functools.partial(short.encode, images), functools.partial(whole.encode, images)
    if way == "whitened":
        found = found.replace(assigner=Whitened())
    call = functools.partial(found.encode, images)
    return call, call


if __name__ == "__main__":
    run_program(main)
