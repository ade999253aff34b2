"""Images and labels: fashion_mnist and mnist from the four official files, digits from scikit-learn; always one order.

Each dataset comes in three parts. The test set is only ever reported on; choices are made on the validation set, which
is cut from the official training set.
"""

import gzip
import hashlib
import math
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geovq.storage import bits, files
from geovq.validation import InputError
from train.data import tfds as tfds_source
from train.data.tfds import Arrays

_CLASSES = 10
_DIGITS_TEST_PER_CLASS = 30
_MAGIC = {3: 0x803, 1: 0x801}
MOST_BYTES = 1 << 26
"""Of a decompressed file; the largest official one has 47,040,016."""
_FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGIT_NAMES = tuple(str(i) for i in range(_CLASSES))


class Dataset(NamedTuple):
    """Images with labels, in three parts; every part in the order of the official files.

    Attributes:
        train_images: uint8 (n, H, W, 1), 0 is background.
        train_labels: int32 (n,), index into `class_names`.
        val_images: As train_images, disjoint from them.
        val_labels: As train_labels.
        test_images: As train_images; the same for every seed.
        test_labels: As train_labels.
        class_names: Name of each label.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    val_images: np.ndarray
    val_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]


class Source(NamedTuple):
    """What is known about a dataset before it is read."""

    class_names: tuple[str, ...]
    n_val: int
    """Images cut from the training set for validation."""
    files: dict[str, str]
    """Name of each official file to the sha256 of its decompressed content; empty where nothing is read."""
    image_shape: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels."""


SOURCES = {
    # Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist
    "fashion_mnist": Source(
        _FASHION_NAMES,
        5000,
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
    # LeCun, Cortes & Burges 1998, https://storage.googleapis.com/cvdf-datasets/mnist/
    "mnist": Source(
        _DIGIT_NAMES,
        5000,
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "digits": Source(_DIGIT_NAMES, 200, {}),
}


def load(name: str, data_dir: str | os.PathLike | None = None, seed: int = 0) -> Dataset:
    """Loads a dataset and cuts a validation set from its training images.

    The validation set is the last 5,000 (digits: 200) of a permutation of the training set that depends on `seed`
    alone. All parts keep the order of the files, whichever way they came: shuffle with `epoch_order`.

    Args:
        name: "fashion_mnist" or "mnist" (60,000 and 10,000 images, 28x28), or "digits" (1,797 images that come with
            scikit-learn, 8x8 enlarged to 28x28; 30 of each class, always the same, are the test set).
        data_dir: Folder with the four official IDX files, gzipped or not. None takes them through tensorflow-datasets,
            downloaded once and kept in $XDG_CACHE_HOME/geovq or ~/.cache/geovq. digits needs none.
        seed: Chooses the validation images, >= 0.

    Returns:
        The three parts and the class names; one (name, seed) gives one `fingerprint` from every source.

    Raises:
        InputError: An unknown name, a negative seed, missing, damaged or altered files, no network within 5 seconds.
    """
    if name not in SOURCES:
        raise InputError(f"name: expected one of {', '.join(SOURCES)}, found {name!r}; choose one of them.")
    _check_seed(seed)
    if name == "digits":
        arrays = _digits()
    elif data_dir is not None:
        arrays = _read_files(name, _find_files(name, pathlib.Path(data_dir).expanduser()))
    else:
        arrays = tfds_source.load(
            name, SOURCES[name].files, lambda paths: _read_files(name, paths), tfds_source.cache_dir()
        )
    return _with_validation(arrays, SOURCES[name], seed)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the name, dtype, shape and bytes of every array, and the class names; 64 hexadecimal digits."""
    arrays = dataset._asdict()
    class_names = list(arrays.pop("class_names"))
    return bits.digest(arrays, {"class_names": class_names})


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits n images: a pure function of (n, seed, epoch), so a resumed run repeats it.

    Args:
        n: Images, >= 1.
        seed: Of the run, >= 0.
        epoch: Counted from 0.

    Returns:
        int64 (n,), a permutation of 0..n-1.

    Raises:
        InputError: A number below its least value.
    """
    if n < 1 or epoch < 0:
        raise InputError(f"epoch_order: expected n >= 1 and epoch >= 0, found n={n}, epoch={epoch}; mend the call.")
    _check_seed(seed)
    return np.random.default_rng([seed, epoch]).permutation(n)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"seed: expected an integer >= 0, found {seed}; choose another.")


def _with_validation(arrays: Arrays, source: Source, seed: int) -> Dataset:
    images, labels = arrays["train_images"], arrays["train_labels"]
    order = np.random.default_rng(seed).permutation(len(images))
    train, val = np.sort(order[: -source.n_val]), np.sort(order[-source.n_val :])
    return Dataset(
        images[train],
        labels[train],
        images[val],
        labels[val],
        arrays["test_images"],
        arrays["test_labels"],
        source.class_names,
    )


def _find_files(name: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """The four files in `folder`, gzipped or not, in the order of `Arrays`."""
    files = SOURCES[name].files
    remedy = f"pass the folder that holds the four official {name} files, or none to download them"
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise InputError(f"{folder}: expected a folder, found {kind} of that name; {remedy}.")
    found = {
        file: path for file in files for path in (folder / file, folder / f"{file}.gz") if path.is_file()
    }  # the .gz is the official file, so it wins
    missing = [file for file in files if file not in found]
    if missing:
        raise InputError(
            f"{folder}: expected {', '.join(files)} (each as it is or with .gz), "
            f"found no {', '.join(missing)}; {remedy}."
        )
    return [found[file] for file in files]


def _read_files(name: str, paths: Sequence[pathlib.Path]) -> Arrays:
    """Reads and verifies the four files of a dataset, given in the order of `Arrays`."""
    arrays: Arrays = {}
    for path, (file, sha256) in zip(paths, SOURCES[name].files.items(), strict=True):
        content = _decompress(path)
        part = "train" if file.startswith("train") else "test"
        if "images" in file:
            arrays[f"{part}_images"] = _parse_idx(content, path, rank=3)[..., None]
        else:
            arrays[f"{part}_labels"] = _parse_idx(content, path, rank=1).astype(np.int32)
            _check_labels(arrays[f"{part}_labels"], len(arrays[f"{part}_images"]), path)
        _check_sha256(name, file, content, sha256, path)
    return arrays


def _decompress(path: pathlib.Path) -> bytes:
    with files.reading(path, "a whole gzip or IDX file", "download it again") as file:
        # by content, not by name: downloads are kept under names of their own
        packed = file.read(2) == b"\x1f\x8b" or path.suffix == ".gz"
        file.seek(0)
        content = (gzip.GzipFile(fileobj=file) if packed else file).read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes, decompressed")
        return content


def _parse_idx(content: bytes, path: pathlib.Path, rank: int) -> np.ndarray:
    """The uint8 array of an IDX file, writeable."""
    start = 4 * (1 + rank)
    magic, *shape = struct.unpack(f">{1 + rank}I", content[:start].ljust(start, b"\0"))
    if magic != _MAGIC[rank]:
        raise InputError(
            f"{path}: expected an IDX file of {rank} dimension(s), which begins with {_MAGIC[rank]:08x}, found "
            f"{content[:4].hex() or 'an empty file'}; "
            "check that images and labels are not swapped, or download it again."
        )
    expected = start + math.prod(shape)
    if len(content) != expected or 0 in shape:
        raise InputError(
            f"{path}: expected {expected:,} bytes for its {tuple(shape)} entries (at least one), found "
            f"{len(content):,}; download it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _check_labels(labels: np.ndarray, n: int, path: pathlib.Path) -> None:
    if len(labels) != n:
        raise InputError(
            f"{path}: expected {n:,} labels, one for each image, found {len(labels):,}; "
            "take both files from one download."
        )
    if labels.max() >= _CLASSES:
        raise InputError(
            f"{path}: expected labels in 0..{_CLASSES - 1}, found {labels.max()} at {int(labels.argmax()):,}; "
            "download it again."
        )


def _check_sha256(name: str, file: str, content: bytes, expected: str, path: pathlib.Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        owner = next(
            (other for other, source in SOURCES.items() if source.files.get(file) == found), "no known dataset"
        )
        raise InputError(
            f"{path}: expected the official {name} file (decompressed sha256 {expected[:12]}…), found {found[:12]}…, "
            f"which is that of {owner}; download it again."
        )


def _digits() -> Arrays:
    """scikit-learn's digits, enlarged to 28x28, with a fixed test set of as many images in each class."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # (n, 8, 8), from 0..16
    images = np.stack([_enlarged(image) for image in small])
    labels = bunch.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(labels))
    test = np.zeros(len(labels), bool)
    for c in range(_CLASSES):
        test[order[labels[order] == c][:_DIGITS_TEST_PER_CLASS]] = True
    return {
        "train_images": images[~test][..., None],
        "train_labels": labels[~test],
        "test_images": images[test][..., None],
        "test_labels": labels[test],
    }


def _enlarged(image: np.ndarray) -> np.ndarray:
    import PIL.Image

    return np.asarray(PIL.Image.fromarray(image).resize((28, 28), PIL.Image.Resampling.BILINEAR))
