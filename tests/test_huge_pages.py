import os
import subprocess
import sys

import pytest

from train import huge_pages

PROGRAM = """
import os, sys
from train.huge_pages import use_huge_pages
print("begun", os.getpid(), *sys.argv[1:], flush=True)
use_huge_pages()
print("goes on with", repr(os.environ.get("GLIBC_TUNABLES")), *sys.argv[1:])
"""


def lines(settled: str | None) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {} if settled is None else {"GLIBC_TUNABLES": settled}
    found = subprocess.run([sys.executable, "-c", PROGRAM, "a b"], capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.skipif(not huge_pages.possible(), reason="no huge pages on request here")
def test_a_program_starts_over_once_with_its_arguments_and_its_process():
    first, second, last = lines(None)
    assert first == second
    assert last == "goes on with 'glibc.malloc.hugetlb=1' a b"


def test_what_the_user_settled_stays():
    assert len(lines("")) == 2
    assert lines("glibc.malloc.check=0")[1] == "goes on with 'glibc.malloc.check=0' a b"


@pytest.mark.parametrize("system", ["always madvise [never]\n", "[always] madvise never\n", None])
def test_nothing_is_done_where_huge_pages_are_not_on_request(system, tmp_path, monkeypatch):
    path = tmp_path / "enabled"
    if system is not None:
        path.write_text(system)
    monkeypatch.setattr(huge_pages, "_SYSTEM", path)
    assert not huge_pages.possible()
