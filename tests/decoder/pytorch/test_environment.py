"""Which PyTorch and torchax work, as far as it shows without either. What `from_torch` computes is tested in tests/peers."""

import builtins
import importlib.metadata
import re
import subprocess
import sys
from typing import Any

import pytest

from geovq.decoder.pytorch.environment import TORCH, TORCHAX, check_torch
from geovq.decoder.pytorch.modules import from_torch
from geovq.validation import InputError

WORKS = f"torch 2.11 or 2.12 and torchax {TORCHAX}"


@pytest.fixture
def installed(monkeypatch):
    """Says which versions are installed."""

    def install(**versions: str) -> None:
        def version(name: str) -> str:
            if name not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(importlib.metadata, "version", version)

    return install


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ({}, "no torch and no torchax"),
        ({"torch": "2.12.1"}, "torch 2.12.1 and no torchax"),
        ({"torchax": TORCHAX}, f"no torch and torchax {TORCHAX}"),
        ({"torch": "2.13.0+cpu", "torchax": TORCHAX}, f"torch 2.13.0+cpu and torchax {TORCHAX}"),
        ({"torch": "2.1.2", "torchax": TORCHAX}, f"torch 2.1.2 and torchax {TORCHAX}"),
        ({"torch": "2.12.1+cu130", "torchax": "0.0.12"}, "torch 2.12.1+cu130 and torchax 0.0.12"),
    ],
)
def test_other_versions_are_refused_with_those_that_work(versions, found, installed):
    installed(**versions)
    message = f"from_torch: expected {WORKS}, found {found}; pip install 'geovq[torch]'."
    for call in (check_torch, lambda: from_torch(None), lambda: from_torch(len, len)):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            call()


def test_a_torchax_that_cannot_be_imported_is_refused_with_its_error(installed, monkeypatch):
    installed(torch=f"{TORCH[0]}.9", torchax=TORCHAX)
    load = builtins.__import__

    def fail(name: str, *args: Any, **options: Any) -> Any:
        if name == "torchax":
            raise AttributeError("no overload named dim_IntList")
        return load(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(InputError, match=r"which fail with AttributeError: no overload named dim_IntList; pip install"):
        check_torch()


def test_nothing_imports_pytorch_before_it_is_used():
    program = (
        "import sys, geovq; geovq.from_torch, geovq.adapt; print([n for n in ('torch', 'torchax') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
