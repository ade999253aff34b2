"""What the stages share: the images and classes of a run, and its measured latents."""

import functools
import os
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from geovq.geometry.measured import Geometry
from geovq.storage import save_arrays
from geovq.validation import InputError
from train.config.options import DataOptions
from train.data.datasets import SOURCES, Dataset, fingerprint, load
from train.run.folder import Run

GEOMETRY = "codebook/geometry.npz"
"""The measured latents, within the run folder."""


class Images(NamedTuple):
    """The images of a run."""

    dataset: Dataset
    sha256: str


@functools.lru_cache(maxsize=1)
def images(options: DataOptions) -> Images:
    """The images that the options name; read once per process."""
    dataset = load(options.dataset, options.data_dir or os.environ.get("GEOVQ_DATA") or None, options.split_seed)
    counts = f"{len(dataset.train_images):,} train, {len(dataset.val_images):,} validation, {len(dataset.test_images):,} test"
    print(f"data: {options.dataset}, {counts}", flush=True)
    return Images(dataset, fingerprint(dataset))


def class_names(run: Run) -> tuple[str, ...]:
    """Names of the run's classes, without reading its images."""
    return SOURCES[run.config.data.dataset].class_names


def save_geometry(run: Run, geometry: Geometry) -> None:
    """Saves the measured latents as codebook/geometry.npz."""
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, float] = {}
    for name, value in geometry._asdict().items():
        if scipy.sparse.issparse(value):
            arrays |= {f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            numbers[name] = value
    save_arrays(run.folder / GEOMETRY, arrays, numbers)


def load_geometry(run: Run) -> Geometry:
    """What `save_geometry` wrote.

    Raises:
        InputError: The file is missing, damaged or another.
    """
    arrays, meta = run.read("codebook", GEOMETRY)
    n = len(arrays["nodes"])
    graphs = {
        name: scipy.sparse.csr_array(
            (arrays.pop(f"{name}.data"), arrays.pop(f"{name}.indices"), arrays.pop(f"{name}.indptr")), shape=(n, n)
        )
        for name in ("straight", "geodesic")
    }
    fields: dict[str, Any] = arrays | graphs | meta
    if set(fields) != set(Geometry._fields):
        raise InputError(
            f"{run.folder / GEOMETRY}: expected {', '.join(Geometry._fields)}, found {', '.join(sorted(fields))}; it is of "
            f"another version: remove {run.folder / 'codebook'} and run `python -m train.codebook --run {run.folder}`."
        )
    return Geometry(**fields)


def class_number(label: str, names: tuple[str, ...]) -> int:
    """Number of a class by its name, in any case.

    Raises:
        InputError: There is none of that name; the message lists them.
    """
    found = [i for i, name in enumerate(names) if name.lower() == label.strip().lower()]
    if not found:
        raise InputError(f"label: expected one of {', '.join(names)}, found {label!r}.")
    return found[0]
