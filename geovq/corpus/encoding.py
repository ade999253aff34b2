"""Images of a corpus to tokens on disk, shard after shard; a stopped or killed call goes on where it was."""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.corpus.sources import ImageShard, Record, fingerprint, read_shard
from geovq.corpus.token_shards import Grid, Header, Shard, Unreadable, begin, finish, has_shard, write_shard
from geovq.storage import load_arrays, save_arrays
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

_NUMBERS = 3 << 22
"""Numbers of images of one size that are encoded together: 64 of 256x256."""

_WAITING = 4
"""Times as many wait for others of their size at most."""

_SAVE_EVERY = 60.0
"""Seconds after which the tokens of an unfinished shard are saved."""

Progress = Callable[[int, int], None]
"""Images that are done since the last call, and how many of them could not be read."""


class Encoded(NamedTuple):
    """How a call ended."""

    images: int
    """Encoded by this call."""
    unreadable: int
    complete: bool
    """Whether all shards are there."""


class Share(NamedTuple):
    """Which shards a process encodes: every one whose number leaves `index` on division by `count`."""

    index: int = 0
    count: int = 1


class _Stopped(Exception):  # noqa: N818  # not an error
    """The caller wants to stop."""


class _Work(NamedTuple):
    """What the shards have in common."""

    tokenizer: Tokenizer
    folder: pathlib.Path
    header: Header
    pad: bool
    plan: Plan
    progress: Progress
    stop: Callable[[], bool]


def encode_corpus(
    tokenizer: Tokenizer,
    tokenizer_sha256: str,
    shards: Sequence[ImageShard],
    folder: pathlib.Path,
    *,
    pad: bool = False,
    share: Share = Share(),
    plan: Plan = DEFAULT_PLAN,
    progress: Progress = lambda images, unreadable: None,
    stop: Callable[[], bool] = lambda: False,
) -> Encoded:
    """Encodes what is not there yet. Tokens do not depend on where a call before was stopped.

    Args:
        tokenizer: What encodes.
        tokenizer_sha256: Of its file, by which the tokens know it.
        shards: Of the corpus, as `open_images` gives them.
        folder: Gets the tokens, as `geovq.corpus.token_shards` describes.
        pad: Whether images whose sides the stride does not divide are padded, see `Tokenizer.encode`.
        share: Which of the shards this process encodes.
        plan: How much at once and on which devices.
        progress: Called after every group of images.
        stop: Asked after every group of images; once it says yes, what is done is saved and the call ends.

    Returns:
        How it ended.

    Raises:
        InputError: The folder holds tokens of another tokenizer or of other images; images that the tokenizer refuses; a full disk.
    """
    header = Header(
        tokenizer_sha256, tokenizer.num_codes, tokenizer.num_quantizers, fingerprint(shards), len(shards)
    )
    begin(folder, header)
    counts = [0, 0]

    def count(images: int, unreadable: int) -> None:
        counts[0] += images
        counts[1] += unreadable
        progress(images, unreadable)

    work = _Work(tokenizer, folder, header, pad, plan, count, stop)
    with contextlib.suppress(_Stopped):
        for number in range(share.index, len(shards), share.count):
            if not has_shard(folder, number):
                _encode_shard(work, shards[number], number)
    complete = all(has_shard(folder, number) for number in range(len(shards)))
    if complete:
        finish(folder)
    return Encoded(counts[0], counts[1], complete)


def _encode_shard(work: _Work, shard: ImageShard, number: int) -> None:
    part = work.folder / f".{number:05}.part.npz"
    found = _load_part(part, work)
    names: list[str] = []
    labels: list[str | int | None] = []
    unreadable: list[Unreadable] = []
    waiting: dict[tuple[int, ...], list[tuple[int, Record]]] = {}
    saved = time.monotonic()

    def encode(group: list[tuple[int, Record]]) -> None:
        nonlocal saved
        images = np.stack([record.image for _, record in group])  # type: ignore[arg-type]
        try:
            tokens = work.tokenizer.encode(images, pad=work.pad, plan=work.plan)
        except InputError as error:
            raise InputError(f"{shard.name}, {group[0][1].name}: {error}") from error
        found.update({i: grid for (i, _), grid in zip(group, tokens, strict=True)})
        work.progress(len(group), 0)
        if work.stop() or time.monotonic() - saved > _SAVE_EVERY:
            _save_part(part, found)
            saved = time.monotonic()
        if work.stop():
            raise _Stopped

    for i, record in enumerate(read_shard(shard)):
        if record.image is None:
            unreadable.append(Unreadable(record.name, record.error))
            work.progress(0, 1)
            continue
        names.append(record.name)
        labels.append(record.label)
        place = len(names) - 1
        if place in found:
            continue
        group = waiting.setdefault(record.image.shape, [])
        group.append((place, record))
        if len(group) * record.image.size >= _NUMBERS or _numbers(waiting) >= _WAITING * _NUMBERS:
            largest = max(waiting, key=lambda shape: len(waiting[shape]) * math.prod(shape))
            encode(waiting.pop(largest))
    for group in waiting.values():
        encode(group)
    given = None if all(label is None for label in labels) else ["" if label is None else label for label in labels]
    grids = [found[i] for i in range(len(names))]
    write_shard(work.folder, number, work.header, Shard(names, grids, given, unreadable))
    part.unlink(missing_ok=True)


def _numbers(waiting: dict[tuple[int, ...], list[tuple[int, Record]]]) -> int:
    return sum(len(group) * math.prod(shape) for shape, group in waiting.items())


def _save_part(path: pathlib.Path, found: dict[int, Grid]) -> None:
    """The tokens of the images of a shard that are done."""
    order = sorted(found)
    shapes = np.array([found[i].shape for i in order], np.int64)
    flat = np.concatenate([found[i].reshape(-1) for i in order])
    save_arrays(path, {"indices": np.array(order, np.int64), "shapes": shapes, "tokens": flat}, {})


def _load_part(path: pathlib.Path, work: _Work) -> dict[int, Grid]:
    if not path.exists():
        return {}
    try:
        arrays, _ = load_arrays(path)
    except InputError:
        return {}  # damaged: the shard is encoded anew
    ends = np.cumsum(arrays["shapes"].prod(axis=1))
    parts = np.split(arrays["tokens"], ends[:-1])
    return {
        int(i): part.reshape(shape) for i, part, shape in zip(arrays["indices"], parts, arrays["shapes"], strict=True)
    }
