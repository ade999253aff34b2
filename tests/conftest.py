"""Strict defaults for every test: no silent rank promotion; data from the official files only where they are."""

import os
import pathlib
import tempfile

import jax
import numpy as np
import pytest

pytest_plugins = ["tests.runs"]

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config: pytest.Config) -> None:
    """What XLA compiles is kept for later tests and the programs that they start, in JAX_COMPILATION_CACHE_DIR if it is set."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not folder:
        kept = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(kept.cleanup)
        folder = kept.name
    for name, value in (
        ("jax_compilation_cache_dir", folder),
        ("jax_persistent_cache_min_compile_time_secs", 0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # of the programs


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def x64():
    """Double precision within the test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def fashion_dir() -> pathlib.Path:
    """Folder with the four official Fashion-MNIST files: GEOVQ_DATA, or shared data beside the checkout."""
    beside = pathlib.Path(__file__).parents[2] / "shared/data/fashion_mnist"
    folder = pathlib.Path(os.environ.get("GEOVQ_DATA", beside))
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"no Fashion-MNIST files in {folder}; set GEOVQ_DATA to their folder")
    return folder
