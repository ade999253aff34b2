"""What `pip install` brings: the wheel's files, types that a checker sees from outside of the checkout, and a quick import."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

from tests.test_public_api import HEAVY, MISTAKES, SNIPPET

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 0.3
"""That `import geovq` may take."""


def outside(folder: pathlib.Path, installed: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs Python in a folder that is not the checkout, with the installed package before all others."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Built without network from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    options = (
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "-q",
        "-w",
        str(folder),
    )
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "-q", "--target", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return folder


def test_the_wheel_has_the_packages_and_their_types_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("geovq", "train")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".pyi", ".html", ".css", ".js") or path.name == "py.typed"
    }
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == wanted
    assert {"geovq/cli/page/page.js", "geovq/cli/page/templates/page.html"} <= wanted
    assert {"geovq/py.typed", "geovq/__init__.pyi", "geovq/tokenizer/__init__.pyi", "train/pipeline.py"} <= wanted
    assert {name.split("/", 1)[1] for name in metadata} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_command_geovq_is_installed(installed, tmp_path):
    command = (installed / "bin/geovq").read_text().partition("\n")[2]
    found = outside(tmp_path, installed, "-c", command, "--help")
    assert found.returncode == 0, found.stderr
    assert "Turns a trained autoencoder into a discrete tokenizer." in found.stdout


def test_importing_the_installed_package_is_quick_and_loads_nothing_heavy(installed, tmp_path):
    """The least of some runs, as other programs slow one down."""
    seconds = []
    for _ in range(5):
        found = outside(tmp_path, installed, "-X", "importtime", "-c", "import geovq; print(geovq.__file__)")
        assert found.stdout.strip() == str(installed / "geovq/__init__.py")
        rows = [line.removeprefix("import time:").split("|") for line in found.stderr.splitlines()[1:]]
        times = {name.strip(): int(total) for _, total, name in rows}
        assert not {name.split(".")[0] for name in times} & set(HEAVY)
        seconds.append(times["geovq"] / 1e6)
    assert min(seconds) < SECONDS


def test_a_users_program_type_checks_against_the_installed_package(installed, tmp_path):
    """With mypy's own defaults, and no configuration of this project."""
    (tmp_path / "good.py").write_text(SNIPPET)
    (tmp_path / "bad.py").write_text(MISTAKES)
    found = outside(tmp_path, installed, "-m", "mypy", "-v", "--config-file=", "good.py", "bad.py")
    assert str(installed / "geovq/__init__.pyi") in found.stderr
    assert str(ROOT / "geovq") not in found.stderr
    errors = [line for line in found.stdout.splitlines() if ": error:" in line]
    assert all(line.startswith("bad.py") for line in errors), found.stdout
    assert [line.split("[")[-1] for line in errors] == ["arg-type]", "arg-type]", "attr-defined]"], found.stdout
