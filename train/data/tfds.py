"""The four official files through tensorflow-datasets, without TensorFlow: prepared once, then cached as arrays.

The stock builders encode their images with TensorFlow and lose the order of the files. The builders here hand over PNG
bytes and store each image's index, so that the arrays that come out are those of the IDX files, byte for byte.
"""

import contextlib
import hashlib
import importlib
import io
import os
import pathlib
import sys
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from geovq.storage.arrays import load_arrays, save_arrays
from geovq.validation import InputError

Arrays = dict[str, np.ndarray]
"""train_images, train_labels, test_images, test_labels: uint8 (n, H, W, 1) and int32 (n,), in the files' order."""

Reader = Callable[[Sequence[pathlib.Path]], Arrays]
"""Reads and verifies the four files, given in the order of `Arrays`."""


def cache_dir() -> pathlib.Path:
    """Where prepared data is kept: $XDG_CACHE_HOME/geovq, or ~/.cache/geovq."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(root) if os.path.isabs(root) else pathlib.Path.home() / ".cache") / "geovq"


def load(name: str, files: Mapping[str, str], read: Reader, cache: pathlib.Path) -> Arrays:
    """Arrays of a dataset: from the cache, else prepared by tensorflow-datasets and then cached.

    The four .gz files are taken from `cache`/tfds/downloads/manual/`name` where they are there, and downloaded
    otherwise.

    Args:
        name: "fashion_mnist" or "mnist".
        files: Name of each file, without .gz, to the sha256 of its decompressed content, in the order of `Arrays`.
        read: Reads and verifies the four files.
        cache: Folder that is written to.

    Returns:
        The four arrays, equal to what `read` makes of the files.

    Raises:
        InputError: No network within 5 seconds, a download or a file that is not the official one, no room on the
            disk.

    Source:
        tensorflow-datasets 4.9, https://www.tensorflow.org/datasets.
    """
    path, meta = cache / f"{name}.npz", {"dataset": name, "files": dict(files)}
    if path.exists():
        try:
            arrays, found = load_arrays(path)
            if found == meta:
                return arrays
            reason = f"{path}: made from other files"
        except InputError as error:
            reason = str(error)
        warnings.warn(f"the cache is made again, because of {reason}", stacklevel=2)
    arrays = _through_tfds(name, files, read, cache)
    try:
        save_arrays(path, arrays, meta)
    except InputError as error:
        warnings.warn(f"{name} is loaded but not cached, because of {error}", stacklevel=2)
    return arrays


def unreachable(url: str, seconds: float = 3.0) -> str | None:
    """Why `url` does not answer, or None if it does; proxies of the environment are used.

    The request runs in a thread of its own, because a name server that hangs obeys no timeout.

    Args:
        url: What is asked for, by HEAD.
        seconds: The longest that this takes, name resolution included.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
                outcome.append(None)
        except Exception as error:  # in a thread of its own, whatever happens has to be carried out
            outcome.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer within {seconds:g} s"


def _through_tfds(name: str, files: Mapping[str, str], read: Reader, cache: pathlib.Path) -> Arrays:
    manual = cache / "tfds/downloads/manual" / name
    try:
        # reading without TensorFlow needs array_record, which tensorflow-datasets itself asks for on Linux only
        for module in ("tensorflow_datasets", "array_record.python.array_record_data_source"):
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{name}: expected tensorflow-datasets and array_record, found: {error}; install them, or pass the folder "
            "of the four official files (--data-dir)."
        ) from error
    builder = _builder(name, files, read, cache)
    if not builder.data_path.exists():
        _prepare(builder, files, manual)
        builder = _builder(name, files, read, cache)  # its record of the splits is read from the disk
    arrays: Arrays = {}
    try:
        for split in ("train", "test"):
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = _read_back(builder, split)
    except (OSError, ValueError, RuntimeError, IndexError, KeyError) as error:
        raise _damaged(builder, f"records that cannot be read ({type(error).__name__}: {error})") from error
    for array, (file, sha256) in zip(arrays.values(), files.items(), strict=True):
        if _idx_sha256(array) != sha256:
            raise _damaged(builder, f"other content than that of {file}")
    return arrays


def _builder(name: str, files: Mapping[str, str], read: Reader, cache: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import mnist

    stock = {"fashion_mnist": mnist.FashionMNIST, "mnist": mnist.MNIST}[name]

    class IndexedBuilder(stock, skip_registration=True):  # type: ignore[call-arg, misc, valid-type]
        """The stock builder without TensorFlow, each record with its index in the official files."""

        name = stock.name

        def _info(self) -> Any:
            info = super()._info()
            features = {**info.features, "index": tfds.features.Scalar(np.int32)}
            return tfds.core.DatasetInfo(
                builder=self,
                description=info.description,
                features=tfds.features.FeaturesDict(features),
                homepage=info.homepage,
                citation=info.citation,
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            # one after another: together, the failure of one leaves the others retrying in threads that hold up the exit
            arrays = read([pathlib.Path(dl_manager.download(f"{self.URL}{file}.gz")) for file in files])
            return {s: self._generate_examples(arrays[f"{s}_images"], arrays[f"{s}_labels"]) for s in ("train", "test")}

        def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict]]:
            import PIL.Image

            for index, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
                png = io.BytesIO()
                PIL.Image.fromarray(image).save(png, "PNG")
                png.seek(0)
                yield index, {"image": png, "label": int(label), "index": index}

    return IndexedBuilder(data_dir=cache / "tfds", file_format="array_record")


def _prepare(builder: Any, files: Mapping[str, str], manual: pathlib.Path) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    remedy = (
        f"connect, or place the four official files ({', '.join(f'{file}.gz' for file in files)}) in {manual}, "
        "or pass the folder that holds them (--data-dir)"
    )
    if not all((manual / f"{file}.gz").is_file() for file in files):
        reason = unreachable(f"{builder.URL}{next(iter(files))}.gz")
        if reason is not None:
            raise InputError(f"{builder.name}: expected a network to download it, found none ({reason}); {remedy}.")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()  # its bars fill a log file with thousands of lines
    config = tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False)
    try:
        # standard output belongs to the results of the program that runs
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(download_dir=manual.parents[1], download_config=config)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, DownloadError, NonMatchingChecksumError) as error:
        if builder.data_path.exists():
            return  # another process was first
        raise InputError(
            f"{builder.name}: expected the four official files, found {type(error).__name__}: {error}; {remedy}."
        ) from error


def _read_back(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    import PIL.Image
    import tensorflow_datasets as tfds

    # the PNG bytes as they are: the decoder of tensorflow-datasets warns that it would like OpenCV
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    n = len(records)
    images = np.zeros((n, *builder.info.features["image"].shape), np.uint8)
    labels = np.zeros(n, np.int32)
    for i in range(n):
        record = records[i]
        index = record["index"]
        images[index, ..., 0] = PIL.Image.open(io.BytesIO(record["image"]))
        labels[index] = record["label"]
    return images, labels


def _idx_sha256(array: np.ndarray) -> str:
    """SHA-256 of the IDX file, decompressed, that holds images (n, H, W, 1) or labels (n,)."""
    shape = array.shape[:3]
    sha = hashlib.sha256(np.array([0x800 + len(shape), *shape], ">i4").tobytes())
    sha.update(array.astype(np.uint8).tobytes())
    return sha.hexdigest()


def _damaged(builder: Any, found: str) -> InputError:
    return InputError(
        f"{builder.data_dir}: expected a dataset prepared by tensorflow-datasets, found {found}; "
        "remove that folder and run again."
    )
