"""Strict defaults for every test: types and shapes checked at run time, no silent rank promotion, official data only if there."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest

from tests.typechecker import annotations_off, typechecker

pytest_plugins = ["tests.browser", "tests.runs"]

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = pathlib.Path(__file__).parents[1]
UNCHECKED = {"geovq.medoids.kernels"}  # numba compiles the functions themselves
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("geovq", "train")
    for path in (ROOT / package).rglob("*.py")
}

CHECKED = sorted(name for name in MODULES - UNCHECKED if not name.endswith("__init__"))

jaxtyping.install_import_hook(CHECKED, f"{typechecker.__module__}.typechecker")  # before anything imports the library


@contextlib.contextmanager
def _raises_unchecked(*expected: Any, **options: Any) -> Iterator[Any]:
    """`pytest.raises` in which annotations are not enforced: what a function is to refuse may break them."""
    with annotations_off(), _raises(*expected, **options) as caught:
        yield caught


_raises = pytest.raises


@pytest.fixture(autouse=True, scope="session")
def refusals_before_annotations() -> Iterator[None]:
    """Tests of refusals see the function's own error, and not that of its annotations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytest, "raises", _raises_unchecked)
        yield


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


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file stay in one process, where they share compiled functions; so do all files with the runs of `tests.runs`."""
    with_runs = {item.path for item in items if "whole" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("runs" if item.path in with_runs else str(item.path)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that another version of pytest or pytest-xdist drops would set up every run twice, and nothing would say so."""
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist has not grouped the tests"


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
    beside = ROOT.parent / "shared/data/fashion_mnist"
    folder = pathlib.Path(os.environ.get("GEOVQ_DATA", beside))
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"no Fashion-MNIST files in {folder}; set GEOVQ_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def autoencoders_dir() -> pathlib.Path:
    """Folder with the published weights of taesd, taesd3 and taef1: GEOVQ_AUTOENCODERS, or shared data beside the checkout."""
    folder = pathlib.Path(os.environ.get("GEOVQ_AUTOENCODERS", ROOT.parent / "shared/data/autoencoders"))
    if not (folder / "taesd_encoder.safetensors").exists():
        pytest.skip(f"no weights of TAESD in {folder}; set GEOVQ_AUTOENCODERS to their folder")
    return folder
