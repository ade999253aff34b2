import os
import pathlib
import subprocess
import sys

import pytest

from train.run import huge_pages

PROGRAM = """
import os, sys
from train.run.huge_pages import use_huge_pages
print("begun", os.getpid(), *sys.argv[1:], flush=True)
use_huge_pages()
print("goes on with", repr(os.environ.get("GLIBC_TUNABLES")), *sys.argv[1:])
"""


@pytest.fixture
def lines(tmp_path):
    """Runs the program and returns what it prints."""
    (tmp_path / "a_program.py").write_text(PROGRAM)
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package/__main__.py").write_text(PROGRAM)

    def run(settled: str | None, *command: str) -> list[str]:
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        environment |= {} if settled is None else {"GLIBC_TUNABLES": settled}
        environment["PYTHONPATH"] = f"{pathlib.Path(__file__).parents[3]}{os.pathsep}{tmp_path}"
        found = subprocess.run(
            [sys.executable, *(command or ("-m", "a_program")), "a b"], capture_output=True, text=True, env=environment
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.splitlines()

    return run


@pytest.mark.skipif(not huge_pages.possible(), reason="no huge pages on request here")
@pytest.mark.parametrize("name", ["a_program", "a_package"])
def test_a_program_starts_over_once_with_its_arguments_and_its_process(lines, name):
    first, second, last = lines(None, "-m", name)
    assert first == second
    assert last == "goes on with 'glibc.malloc.hugetlb=1' a b"


def test_what_the_user_settled_stays(lines):
    assert len(lines("")) == 2
    assert lines("glibc.malloc.check=0")[1] == "goes on with 'glibc.malloc.check=0' a b"


def test_a_program_that_another_one_calls_does_not_start_that_over(lines):
    calling = "import runpy; runpy.run_module('a_program', run_name='__main__')"
    assert [line.split()[0] for line in lines(None, "-c", calling)] == ["begun", "goes"]
    calling = "import runpy; runpy.run_module('a_program', run_name='__main__', alter_sys=True)"
    assert [line.split()[0] for line in lines(None, "-c", calling)] == ["begun", "goes"]


@pytest.mark.parametrize("system", ["always madvise [never]\n", "[always] madvise never\n", None])
def test_nothing_is_done_where_huge_pages_are_not_on_request(system, tmp_path, monkeypatch):
    path = tmp_path / "enabled"
    if system is not None:
        path.write_text(system)
    monkeypatch.setattr(huge_pages, "_SYSTEM", path)
    assert not huge_pages.possible()
