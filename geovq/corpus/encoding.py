"""Images of a corpus to tokens on disk, shard after shard; a stopped or killed call goes on and ends with the same bytes.

Images are encoded in chunks, which depend on the shard and the plan alone, so a call that goes on encodes the same together.
"""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.batching.processes import Part, on_its_own
from geovq.batching.processes import part as part_of_process
from geovq.corpus.records import ImageShard, Record, fingerprint, read_records
from geovq.corpus.token_files import Header
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import INDEX, LeftOut, Shard, Tokens, begin, finish, has_shard, read_shard, write_shard
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.files import turn
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.images import check_image_shape
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

_PIXELS = 1 << 21
"""Pixels of a chunk: 32 images of 256x256."""

_PIXELS_OF_PASS = 128
"""Pixels of a chunk at most for each of a plan's passes, for assigners that run the decoder: an image of 256x256 on a CPU."""

_RECORDS = 4096
"""Images of a chunk at most, however small."""

_SAVE_EVERY = 60.0
"""Seconds after which the tokens of an unfinished shard are saved."""

Progress = Callable[[int, int], None]
"""Called with the images encoded and left out since the last call."""


class Encoded(NamedTuple):
    """How a call ended."""

    images: int
    """Encoded by this call."""
    left_out: int
    """By this call: could not be read or encoded."""
    complete: bool
    """Whether all shards are there."""


class _StopError(Exception):
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
    plan: Plan = DEFAULT_PLAN,
    progress: Progress = lambda images, left_out: None,
    stop: Callable[[], bool] = lambda: False,
) -> Encoded:
    """Encodes what is not there yet. Tokens do not depend on where a call before was stopped.

    Processes that share work (`geovq.batching.processes`) encode every so many'th shard, and wait for each other at the end.

    An image that cannot be read, or that the tokenizer refuses, is left out and listed with the reason.

    Args:
        tokenizer: What encodes.
        tokenizer_sha256: Of its file, by which the tokens know it.
        shards: Of the corpus, as `open_images` gives them.
        folder: Gets the tokens, as `geovq.corpus.token_shards` describes.
        pad: Whether images whose sides the stride does not divide are padded, see `Tokenizer.encode`.
        plan: How much at once and on which devices.
        progress: Called after every chunk.
        stop: Asked after every chunk; once it says yes, what is done is saved and the call ends.

    Returns:
        How it ended.

    Raises:
        InputError: The folder holds tokens of another tokenizer or of other images, or complete ones that were changed; images
            of other channels, or without `pad` of sides that the stride does not divide; a full disk.
    """
    assigner = describe_assigner(tokenizer.assigner)
    counts = tokenizer.num_codes, tokenizer.num_quantizers
    header = Header(tokenizer_sha256, assigner, *counts, fingerprint(shards), len(shards))
    with turn() as mine:
        if mine:
            begin(folder, header)
    images, left_out = 0, 0

    def count(some: int, without: int) -> None:
        nonlocal images, left_out
        images, left_out = images + some, left_out + without
        progress(some, without)

    work = _Work(tokenizer, folder, header, pad, plan, count, stop)
    with on_its_own() as part, contextlib.suppress(_StopError):
        for number in _numbers(shards, part):
            if not has_shard(folder, number):
                _encode_shard(work, shards[number], number)
    with turn() as mine:
        complete = all(has_shard(folder, number) for number in range(len(shards)))
        if complete and mine:
            for left in (*folder.glob(".[0-9]*"), *folder.glob(f".{INDEX}.*")):  # of calls that were killed
                with contextlib.suppress(OSError):  # a disk that is read-only
                    left.unlink()
            finish(folder)
            if not images + left_out:  # there was nothing to do: is what is there as it was?
                open_tokens(folder).verify()
    return Encoded(images, left_out, complete)


def _numbers(shards: Sequence[ImageShard], part: Part) -> range:
    """Which shards a process encodes."""
    return range(part.index, len(shards), part.count)


def count_images(shards: Sequence[ImageShard], folder: pathlib.Path) -> tuple[int, int]:
    """Of the images that this process encodes, those in a folder of tokens already, left out or not, and all."""
    done, total = 0, 0
    for number in _numbers(shards, part_of_process()):
        shard = shards[number]
        if has_shard(folder, number):
            found, _ = read_shard(folder, number)
            here = whole = len(found.names) + len(found.left_out)
        else:
            here, whole = _load_part(_part_path(folder, number)).num_read, len(shard)
        done, total = done + here, total + whole
    return done, total


def _encode_shard(work: _Work, shard: ImageShard, number: int) -> None:
    path = _part_path(work.folder, number)
    found = _load_part(path)
    saved = time.monotonic()
    for chunk in _chunks(read_records(shard, found.num_read), _chunk_pixels(work)):
        more = _encode_chunk(work, chunk)
        found = found.followed_by(more)
        work.progress(len(more.names), len(more.left_out))
        if work.stop():
            _save_part(path, found)
            raise _StopError
        if time.monotonic() - saved > _SAVE_EVERY:
            _save_part(path, found)
            saved = time.monotonic()
    write_shard(work.folder, number, work.header, found)
    path.unlink(missing_ok=True)


def _chunk_pixels(work: _Work) -> int:
    """Pixels of a chunk, after which a call can stop."""
    assigner = work.tokenizer.assigner
    runs_decoder = assigner.needs_images or assigner.needs_metrics
    return min(_PIXELS, _PIXELS_OF_PASS * settle(work.plan).passes) if runs_decoder else _PIXELS


def _chunks(records: Iterable[Record], pixels: int) -> Iterator[list[Record]]:
    """Consecutive images of so many pixels together, the last image beyond them included."""
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += 0 if record.image is None else math.prod(record.image.shape[:2])
        if size >= pixels or len(chunk) == _RECORDS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _encode_chunk(work: _Work, chunk: list[Record]) -> Shard:
    """Images of one size are encoded together."""
    images = {i: record.image for i, record in enumerate(chunk) if record.image is not None}
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in images.items():
        groups.setdefault(image.shape, []).append(i)
    tokens: dict[int, Tokens] = {}
    refused = {i: record.error for i, record in enumerate(chunk) if i not in images}
    for shape, indices in groups.items():
        check_image_shape(chunk[indices[0]].name, shape, work.tokenizer.sizes, pad=work.pad)
        try:
            found = work.tokenizer.encode(np.stack([images[i] for i in indices]), pad=work.pad, plan=work.plan)
        except InputError as error:
            refused |= dict.fromkeys(indices, str(error))
            continue
        for i, grid in zip(indices, found, strict=True):
            if grid.max() >= work.header.num_codes:
                refused[i] = (
                    "tokens: expected codes for all, found some that no code reaches; fit with components='bridge'."
                )
            else:
                tokens[i] = grid.astype(work.header.dtype)
    done = sorted(tokens)
    return Shard(
        [chunk[i].name for i in done],
        [tokens[i] for i in done],
        [images[i].shape[:2] for i in done],
        [chunk[i].label for i in done],
        [LeftOut(chunk[i].name, refused[i]) for i in sorted(refused)],
    )


def _part_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f".{number:05}.part.npz"


def _save_part(path: pathlib.Path, found: Shard) -> None:
    """The images of a shard that are done."""
    flat = np.concatenate([np.empty(0, np.uint8), *(each.reshape(-1) for each in found.tokens)])
    meta = found._replace(tokens=[])._asdict() | {"shapes": [each.shape for each in found.tokens]}
    save_arrays(path, {"tokens": flat}, meta)


def _load_part(path: pathlib.Path) -> Shard:
    if path.exists():
        with contextlib.suppress(InputError):  # damaged: the shard is encoded anew
            arrays, meta = load_arrays(path)
            shapes = [tuple(shape) for shape in meta.pop("shapes")]
            ends = np.cumsum([math.prod(shape) for shape in shapes]).astype(int)
            pieces = np.split(arrays["tokens"], ends[:-1]) if shapes else []
            meta["tokens"] = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
            meta["sizes"] = [tuple(size) for size in meta["sizes"]]
            meta["left_out"] = [LeftOut(*each) for each in meta["left_out"]]
            return Shard(**meta)
    return Shard([], [], [], [], [])
