"""The structure of the code: which package may import which, and files inside a package without circles."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

GEOVQ = [
    "validation",
    "storage",
    "numerics",
    "batching",
    "decoder",
    "models",
    "metric",
    "graph",
    "medoids",
    "geometry",
    "assignment",
    "codebook",
    "scores",
    "tokenizer",
    "corpus",
    "cli",
]
"""Doors of the library, each of which imports only doors before it."""

TRAIN = ["config", "run", "data", "loop", "stages", "evaluation"]
"""Packages of train, in the same order; programs stand above all of them."""


def modules(top: str) -> dict[str, pathlib.Path]:
    """Every module below a package by its dotted name; packages without their `__init__`."""
    paths = (path for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imports(path: pathlib.Path, known: dict[str, pathlib.Path]) -> set[str]:
    """Modules of this project that a file imports, anywhere in it: what stands in functions counts."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & known.keys()) or {node.module}
    return {name for name in found if name.split(".")[0] in ("geovq", "train", "benchmarks", "tests")}


def room(module: str) -> str:
    """The second part of a dotted name: the package inside geovq or train, or the file beside the packages."""
    return [*module.split("."), ""][1]


@pytest.fixture(scope="module")
def known() -> dict[str, pathlib.Path]:
    return {name: path for top in ("geovq", "train", "benchmarks") for name, path in modules(top).items()}


def test_geovq_has_few_doors_and_all_are_in_the_order():
    doors = {
        path.stem for path in (ROOT / "geovq").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert doors - {"__init__"} == set(GEOVQ)
    assert len(GEOVQ) <= 16


@pytest.mark.parametrize(("top", "order"), [("geovq", GEOVQ), ("train", TRAIN)])
def test_packages_import_only_packages_before_them(top, order, known):
    rank = {name: i for i, name in enumerate(order)}
    programs = len(order)
    for module in modules(top):
        for imported in imports(known[module], known):
            if imported.split(".")[0] != top:
                assert (top, imported.split(".")[0]) == ("train", "geovq"), f"{module} imports {imported}"
            else:
                assert rank.get(room(imported), programs) <= rank.get(room(module), programs), (
                    f"{module} imports {imported}"
                )


def test_library_files_import_from_modules_and_not_from_packages(known):
    """A package's own names are for users: inside, they would load files that are not needed, and hide circles."""
    for module in modules("geovq"):
        for imported in imports(known[module], known):
            assert imported in known, f"{module} imports {imported}"


@pytest.mark.parametrize("top", ["geovq", "train", "benchmarks"])
def test_files_have_no_circles(top, known):
    arrows = {module: imports(known[module], known) & known.keys() for module in modules(top)}
    list(graphlib.TopologicalSorter(arrows).static_order())  # raises CycleError, which names the circle
