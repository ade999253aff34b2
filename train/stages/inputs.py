"""What the stages share: the images and classes of a run, and its measured latents."""

import functools
import os
from typing import NamedTuple

from geovq.geometry.arrays import from_arrays, to_arrays
from geovq.geometry.measured import Geometry
from geovq.storage.arrays import save_arrays
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
    save_arrays(run.folder / GEOMETRY, *to_arrays(geometry))


def load_geometry(run: Run) -> Geometry:
    """What `save_geometry` wrote.

    Raises:
        InputError: The file is missing, damaged or another.
    """
    arrays, meta = run.read("codebook", GEOMETRY)
    try:
        found = from_arrays(arrays, meta)
    except InputError as error:
        raise InputError(
            f"{run.folder / GEOMETRY}: {error}; it is of another version: remove {run.folder / 'codebook'} and run "
            f"`python -m train.codebook --run {run.folder}`."
        ) from error
    assert isinstance(found, Geometry)  # what `save_geometry` was given
    return found


def class_number(label: str, names: tuple[str, ...]) -> int:
    """Number of a class by its name, in any case.

    Raises:
        InputError: There is none of that name; the message lists them.
    """
    found = [i for i, name in enumerate(names) if name.lower() == label.strip().lower()]
    if not found:
        raise InputError(f"label: expected one of {', '.join(names)}, found {label!r}.")
    return found[0]
