"""Tokens on disk to images in PNG files; a stopped or killed call goes on with the files that are missing."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.corpus.claims import claim
from geovq.corpus.token_folder import Image, TokenFolder
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

_CLAIM = "decoded.json"
"""What says in the folder of the images which tokens they are of."""

_PIXELS = 1 << 21
"""Pixels of the images at most that are decoded together."""


def decode_corpus(
    tokenizer: Tokenizer,
    tokens: TokenFolder,
    folder: pathlib.Path,
    *,
    plan: Plan = DEFAULT_PLAN,
    progress: Callable[[int], None] = lambda images: None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Writes a PNG file for every image that has none yet, in its own size.

    Args:
        tokenizer: The one that made the tokens.
        tokens: An opened folder.
        folder: Gets the images. Files keep their names; one that does not end in .png gets this ending.
        plan: How much at once and on which devices.
        progress: Called after every chunk with its images, those that were there before included.
        stop: Asked after every chunk; once it says yes, the call ends.

    Returns:
        Images that were decoded or there before; fewer than all where it was stopped.

    Raises:
        InputError: The folder has other files, or images of other tokens; names that leave the folder; a file that cannot be
            written.
    """
    header = tokens.header
    claim(folder, _CLAIM, {"tokenizer": header.tokenizer, "assigner": header.assigner, "images": header.images})
    done = 0
    for chunk in _chunks(tokens):
        missing = [image for image in chunk if not png_path(folder, image.name).exists()]
        if missing:
            grids = [image.tokens.astype(np.int32) for image in missing]
            decoded = tokenizer.decode(grids, image_shape=[image.size for image in missing], plan=plan)
            for image, pixels in zip(missing, decoded, strict=True):
                _write_png(png_path(folder, image.name), np.round(255 * pixels).astype(np.uint8))
        done += len(chunk)
        progress(len(chunk))
        if stop():
            return done
    for left in (*folder.glob(f".{_CLAIM}.*"), *folder.rglob(".*.png.*.tmp")):  # of calls that were killed
        with contextlib.suppress(OSError):  # a disk that is read-only
            left.unlink()
    return done


def png_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the image of a name goes.

    Raises:
        InputError: A name that leads out of the folder.
    """
    inside = pathlib.PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or not inside.name:
        raise InputError(f"tokens: expected names inside a folder, found {name!r}; encode the images again.")
    return folder / inside if inside.suffix.lower() == ".png" else folder / f"{inside}.png"


def _chunks(images: Iterable[Image]) -> Iterator[list[Image]]:
    chunk: list[Image] = []
    size = 0
    for image in images:
        chunk.append(image)
        size += image.size[0] * image.size[1]
        if size >= _PIXELS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _write_png(path: pathlib.Path, pixels: np.ndarray) -> None:
    """Whole or absent. No fsync: what a power failure takes can be decoded again."""
    import PIL.Image  # late: an extra brings it

    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(unfinished, "PNG")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(
            f"{path}: expected to write it, found: {error.strerror or error}; free space or choose another folder, and run the "
            "same command again."
        ) from error
